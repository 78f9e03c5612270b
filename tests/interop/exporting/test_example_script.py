"""`example.py` of an export does without the library what `predict` does, to the pixel."""

import ast
import itertools
import json
import math
import re
import runpy
import subprocess
import sys
import wave

import jax
import numpy as np
import pytest
from exported import ROOT, run_example
from scipy.special import softmax
from small_trained_model import small_trained_model
from varied_videos import write_varied_videos

import motion_vit
from motion_vit.data.augmentation.crops import crop_corners, short_side_shape
from motion_vit.data.batches.evaluation_batches import clip_views, view_ticks
from motion_vit.data.batches.frame_clock import EQUALLY_NEAR, FrameClock
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.jpeg_frames import scaled_size
from motion_vit.interop.exporting.example_script import example_script
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.interface import PLAIN, Interface
from motion_vit.interop.runners import example
from motion_vit.training.inference.preprocessing import preprocessing_of
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.config import default_config

# Sampling of the data; clips and crops of the evaluation.
RECIPES = {
    "segment": ({"frames": 5, "sampling": "segment"}, (1, 1)),
    "segment, six views": ({"frames": 4, "sampling": "segment"}, (2, 3)),
    "dense": ({"frames": 6, "sampling": "dense", "stride": 3}, (1, 1)),
    "dense, nine views": ({"frames": 4, "sampling": "dense", "stride": 2}, (3, 3)),
    "by time": ({"frames": 4, "sampling": "dense", "stride": 2, "fps": 12.0}, (2, 1)),
    "by time, faster than the video": ({"frames": 5, "sampling": "dense", "stride": 3, "fps": 29.97}, (2, 3)),
}


def recipe(name, **data):
    config = default_config()
    sampling, (clips, crops) = RECIPES[name]
    config.data.update({"size": 32, **sampling, **data})
    config.evaluation.clips, config.evaluation.crops = clips, crops
    return config


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_varied_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize("name", RECIPES)
def test_its_views_are_those_of_the_library_bit_for_bit(videos, name):
    config = recipe(name)
    description = json.loads(json.dumps(preprocessing_of(config, ["one"])))
    views = config.evaluation
    for video in videos:
        clip = StoredClip("clip", 0, str(video))
        expected = clip_views(clip, clip_options(config), clips=views.clips, crops=views.crops)
        np.testing.assert_array_equal(example.read_views(str(video), description), expected, err_msg=video.name)


@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
def test_it_normalises_as_the_library_does(channel_order):
    config = recipe("dense", channel_order=channel_order, mean=(0.1, 0.5, 0.4), std=(0.2, 0.3, 0.25))
    pixels = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(1, 1, 16, 16, 3)
    given = example.normalise(pixels, preprocessing_of(config, ["one"])["normalisation"])
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, normalization(config)(jax.numpy.asarray(pixels)), rtol=1e-6, atol=1e-6)


def value_of(formula, **names):
    """The value of a formula of `preprocessing.json`."""
    return eval(formula, {"ceil": math.ceil, "min": min, "max": max, "round": round, "int": int}, names)


@pytest.mark.parametrize("name", RECIPES)
def test_the_formulas_of_frames_are_what_the_library_computes(name):
    config = recipe(name)
    frames = preprocessing_of(config, ["one"])["frames"]
    options = clip_options(config)
    rng = np.random.default_rng(0)
    for n, clips in zip([1, 2, 3, *rng.integers(4, 500, 20).tolist()], itertools.cycle([1, 2, 3, 10])):
        for clip in range(clips):
            known = {"n": n, "frames": frames["frames"], "stride": frames["stride"], "clip": clip, "clips": clips}
            if frames["slack"]:
                known["slack"] = value_of(frames["slack"], **known)
            ticks = [value_of(frames["tick"], **known, i=i) for i in range(frames["frames"])]
            assert ticks == view_ticks(n, options, clip, clips).tolist()
            fed = example.choose_frames(np.arange(n), 0.0, {**frames, "fps": 0.0}, clip, clips)
            assert fed == ticks


def test_the_frame_nearest_in_time_is_that_of_the_library():
    rng = np.random.default_rng(1)
    for fps in (5.0, 12.5, 29.97, 60.0):
        times = np.cumsum(rng.integers(1, 90, 50)) / 1000
        times -= times[0]
        ticks = np.arange(int(fps * times[-1]) + 3)
        expected = FrameClock(0, len(ticks), fps, times).frames_at(ticks)
        assert [example.nearest_frame(times, tick / fps, EQUALLY_NEAR) for tick in ticks] == expected.tolist()
    assert value_of("max(1, round(seconds * fps))", seconds=0.001, fps=12.0) == 1


def test_the_page_about_exports_explains_every_field():
    def names_of(fields):
        for name, value in fields.items():
            yield name
            yield from names_of(value) if isinstance(value, dict) else ()

    table = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8").partition("| `format`, `schema_version` |")[2]
    explained = set(re.findall(r"[\w.]*?(\w+)`", table.partition("### In a browser")[0])) | {"format", "schema_version"}
    said = preprocessing_of(recipe("dense"), ["one"])
    groups = {name for name, value in said.items() if isinstance(value, dict)}
    assert set(names_of(said)) - groups - explained == set()


def test_the_formulas_of_sizes_and_crops_are_what_the_library_computes():
    rng = np.random.default_rng(2)
    for width, height, size in rng.integers(1, 700, (200, 3)).tolist():
        config = recipe("segment, six views", size=max(16, size))
        size = config.data.size
        said = preprocessing_of(config, ["one"])
        names = {"w": width, "h": height}
        decoded = tuple(value_of(said["decoding"][side], **names) for side in ("width", "height"))
        assert decoded == scaled_size(width, height, size)
        names = dict(zip("wh", decoded, strict=True))
        resized = tuple(value_of(said["resize"][side], **names) for side in ("height", "width"))
        assert resized == short_side_shape(decoded[1], decoded[0], size)
        names = dict(zip("hw", resized, strict=True))
        corners = [
            tuple(value_of(said["crop"][side], **names, place=place) for side in ("top", "left"))
            for place in said["crop"]["places"]
        ]
        assert corners == crop_corners(*resized, size, 3)


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_views_are_averaged_in_batches_of_the_size_that_the_program_takes(videos, output):
    description = preprocessing_of(recipe("segment, six views"), ["a", "b", "c"])
    description |= {"input": {"shape": [4], "normalised": True}, "output": {"name": output}}
    inputs = example.normalise(example.read_views(str(videos[0]), description), description["normalisation"])
    logits = 5 * np.stack([inputs[..., channel].std(axis=(1, 2, 3)) for channel in range(3)], axis=1)
    sizes = []

    def model(batch):
        sizes.append(len(batch))
        found = 5 * np.stack([batch[..., channel].std(axis=(1, 2, 3)) for channel in range(3)], axis=1)
        return found if output == "logits" else softmax(found, axis=-1)

    found = example.classify(str(videos[0]), model, description)
    assert sizes == [4, 4]
    assert np.ptp(logits, axis=0).max() > 0.1
    np.testing.assert_allclose(found, softmax(logits.mean(axis=0)), rtol=1e-5)


def test_the_scripts_of_all_formats_are_clean_and_those_of_programs_import_nothing_of_the_library(tmp_path):
    for file_format, chosen in FORMATS.items():
        script = example_script(file_format)
        (tmp_path / f"{file_format}.py").write_text(script)
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(script))
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in getattr(node, "names", ())]
            )
        }
        assert ("motion_vit" in imported) == (chosen.batches == "any")
    # The order of imports depends on where the library lies.
    options = [f"--config={ROOT / 'pyproject.toml'}", "--ignore=I001", "--no-cache"]
    ruff = subprocess.run([sys.executable, "-m", "ruff", "check", *options, tmp_path], capture_output=True, text=True)
    assert ruff.returncode == 0, ruff.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file_format", "interface"),
    [
        ("onnx", PLAIN),
        ("onnx", Interface("uint8", "probabilities")),
        ("stablehlo", Interface("float32", "probabilities")),
    ],
    ids=["onnx", "onnx of pixels", "stablehlo"],
)
def test_where_the_library_is_not_installed_it_prints_what_predict_prints(predicted, file_format, interface, tmp_path):
    videos, expected = predicted
    export_model(motion_vit.load("demo"), file_format, tmp_path / "export", interface=interface)
    for said, probabilities in zip(run_example(tmp_path / "export", videos), expected, strict=True):
        assert said == pytest.approx(probabilities, abs=1e-4)
        assert next(iter(said)) == next(iter(probabilities))
        assert max(probabilities.values()) > 0.3


@pytest.mark.slow
def test_of_weights_alone_the_library_computes_the_logits(videos, tmp_path, monkeypatch, capsys):
    trained = small_trained_model(name="uniformer_tiny", depths=(1, 1, 1, 1))
    (prediction,) = trained.predict([videos[0]], top=2)
    monkeypatch.setattr(sys, "argv", ["example.py", str(videos[0]), "--top", "2"])
    for file_format in ("safetensors", "torch"):
        export_model(trained, file_format, tmp_path / file_format)
        runpy.run_path(str(tmp_path / file_format / "example.py"), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()[1:]
        assert [float(line.split()[0]) for line in lines] == pytest.approx([p for _, p in prediction.classes], abs=2e-6)
        assert [line.split(maxsplit=1)[1] for line in lines] == [ascii(label) for label, _ in prediction.classes]


def test_a_video_that_cannot_be_classified_costs_none_of_the_others(videos, tmp_path, monkeypatch, capsys):
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        export_model(small_trained_model(), "safetensors", tmp_path / "export")
    sound, text = tmp_path / "sound.wav", tmp_path / "text.mp4"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    text.write_text("no video")
    given = [str(path) for path in (tmp_path / "absent.mp4", text, sound, tmp_path, videos[0])]
    monkeypatch.setattr(sys, "argv", ["example.py", *given, "--top", "1"])
    with (
        pytest.raises(SystemExit, match="4 of 5 videos not classified"),
        jax.numpy_dtype_promotion("standard"),
    ):
        runpy.run_path(str(tmp_path / "export" / "example.py"), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert said[::2] == [ascii(path) for path in given]
    assert [line.strip() for line in said[1:-2:2]] == [
        "not classified: No such file or directory",
        "not classified: Invalid data found when processing input",
        "not classified: it has no video stream",
        "not classified: Is a directory",
    ]
    assert float(said[-1].split()[0]) > 0
