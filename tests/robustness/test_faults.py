"""Whatever a library raises on one clip costs that clip alone, in every command, and is told with its class."""

import json
import pickle
import struct
import subprocess
import types

import av.error
import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import small_videos

from motion_vit.data.batches import evaluation_batches as evaluation
from motion_vit.data.batches import training_batches as training
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.datasets.own_videos import read
from motion_vit.data.preparation import clip_encoding, h264_fast, shard
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources import source_check
from motion_vit.data.sources.named_videos import find_videos
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.data.video import decoding, probing, timeline
from motion_vit.training.inference.prediction import predict_videos
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.recipe.config import default_config


class UnheardOfError(Exception):
    """An exception of a library that nobody has foreseen."""


FAULTS = [
    *(kind("no\nreason") for kind in (ValueError, TypeError, KeyError, IndexError, AttributeError, LookupError)),
    *(kind("overflow") for kind in (ZeroDivisionError, OverflowError, FloatingPointError, AssertionError)),
    *(kind() for kind in (RuntimeError, RecursionError, NotImplementedError, SystemError, BufferError, EOFError)),
    *(kind() for kind in (StopIteration, StopAsyncIteration, UnheardOfError, ImportError, NameError, ReferenceError)),
    *(OSError(5, "Input/output error"), PermissionError(13, "denied"), TimeoutError(), ConnectionResetError()),
    *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), struct.error("short"), cv2.error("bad argument")),
    *(pickle.UnpicklingError("bad"), json.JSONDecodeError("bad", "", 0), subprocess.SubprocessError()),
    *(np.linalg.LinAlgError("singular"), ExceptionGroup("several", [ValueError()]), UserWarning("a warning")),
    MemoryError(),
]
ENDS = [KeyboardInterrupt, SystemExit]
OPTIONS = ClipOptions(frames=2, size=16)

# What a command calls for each clip -> the modules that call it.
PROBING = [(timeline, "read_packets")]
DECODING = [(decoding, "_decode_from_start"), (decoding, "_decode_runs")]
PLACES = {
    "prepare": [*PROBING, (probing, "decode_packet"), (clip_encoding, "open_regular_file"), (shard, "frame_doubts")],
    "prepare anew": [*DECODING[1:], (h264_fast, "read_timeline"), (clip_encoding, "encode_h264_fast")],
    "train": [*PROBING, *DECODING[1:], (training, "random_resized_crop"), (training, "decode_frames")],
    "evaluate": [*PROBING, *DECODING[1:], (evaluation, "resize_short_side"), (evaluation, "crop_views")],
    "predict": [*PROBING, *DECODING[1:], (evaluation, "resize_short_side"), (evaluation, "crop_views")],
    "data check": [*PROBING, (probing, "decode_packet"), (source_check, "frame_doubts")],
}
CASES = [(command, *place) for command, places in PLACES.items() for place in places]


@pytest.fixture
def three_videos(tmp_path):
    encoding = small_videos.Encoding(".mp4", "libx264", {"preset": "ultrafast", "threads": "1"})
    for name in "abc":
        small_videos.encode(tmp_path / f"{name}.mp4", encoding, small_videos.moving_texture(4))
    (tmp_path / "list.csv").write_text("path,label\na.mp4,x\nb.mp4,y\nc.mp4,x\n")
    return tmp_path


def break_second(monkeypatch, module, name, fault):
    """Has a function raise an exception for the second clip that is read, and counts clips by what comes before."""
    original = getattr(module, name)
    calls = types.SimpleNamespace(count=0)

    def faulty(*arguments, **options):
        calls.count += 1
        if calls.count == 2:
            raise fault
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, faulty)
    return calls


def run(command, folder, out):
    """Runs what a command does with three videos in this process; returns the reasons of those that were left out."""
    source = read_video_list(folder / "list.csv")
    if command.startswith("prepare"):
        codec = "h264-fast" if command.endswith("anew") else "copy"
        dataset = read(folder / "list.csv", 0)
        report = prepare_dataset(dataset, out, codec=codec, workers=1, progress=False, skip_bad=True)
        return [clip.reason for clip in report.manifest.splits["train"].bad]
    if command == "train":
        # What Grain calls for each row, in several threads and thus in any order.
        views = training._OneView(training.ClipAugmenter(OPTIONS, source.label_names))
        clips = training._TrainingClips(source, OPTIONS, views)
        made = [clips.random_map(row, np.random.default_rng(row)) for row in range(3)]
        assert all((one["weight"] == 0) == (one["reason"] != "") for one in made)
        return [str(one["reason"][0]) for one in made if one["reason"][0]]
    if command == "evaluate":
        views = evaluation._Views(source, OPTIONS, 1, 1, "normal", None)
        return ["" for row in range(3) if not views.map(row)["weight"]]
    if command == "predict":
        config = default_config()
        config.data.frames, config.data.size = 2, 16

        def logits_of(variables, clips):
            return jnp.zeros((len(clips), 2))

        found = predict_videos(logits_of, {}, config, ("x", "y"), find_videos(source.paths), top=1, mesh=data_mesh())
        return [prediction.error for prediction in found if prediction.error]
    return [clip.reason for clip in source_check.check_source(source, workers=1, progress=False).bad]


def short_faults(number):
    """Spreads the faults over the places, so that each is raised somewhere in every command and the test is quick."""
    return FAULTS[number :: len(CASES) // 2] or FAULTS[:1]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{case[0]}, {case[2]}" for case in CASES])
def test_an_exception_on_one_clip_costs_that_clip(three_videos, monkeypatch, number):
    command, module, name = CASES[number]
    for place, fault in enumerate(short_faults(number % (len(CASES) // 2))):
        with monkeypatch.context() as patch:
            break_second(patch, module, name, fault)
            reasons = run(command, three_videos, three_videos / f"out{place}")
        assert len(reasons) == 1, (fault, reasons)
        if command == "evaluate":
            continue  # which names the skipped clips without reasons
        if isinstance(fault, OSError) and name == "open_regular_file":
            assert reasons[0].startswith("the file cannot be read (")
        elif isinstance(fault, MemoryError):
            assert reasons == ["there is not enough memory for it (MemoryError)"]
        else:
            assert f"unexpected {type(fault).__name__}: " in reasons[0]
            assert "please report it, with the file" in reasons[0]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_every_kind_of_exception_becomes_the_reason_of_a_prediction(three_videos, monkeypatch, fault):
    break_second(monkeypatch, timeline, "read_packets", fault)
    (reason,) = run("predict", three_videos, None)
    assert type(fault).__name__ in reason


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("command", ["prepare", "predict", "data check"])
def test_what_ends_a_program_passes(three_videos, monkeypatch, command, end):
    break_second(monkeypatch, timeline, "read_packets", end())
    with pytest.raises(end):
        run(command, three_videos, three_videos / "out")


def test_an_error_of_ffmpeg_that_nobody_expects_is_a_reason(three_videos, monkeypatch):
    break_second(monkeypatch, timeline, "read_packets", av.error.BugError(1, "bug"))
    (reason,) = run("predict", three_videos, None)
    assert reason.startswith("FFmpeg: ")
