"""Sampling by time: files of every frame rate give the same moments, however they are stored and read."""

import contextlib
import fractions
import itertools
import json
import pathlib

import av
import numpy as np
import pytest

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.batches.frame_clock import FrameClock, read_clock
from motion_vit.data.batches.training_batches import TrainingBatches, decode_training_clip
from motion_vit.data.datasets.own_videos import read
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.clip_source import StoredClip, clip_frames
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.errors import UserError

SECONDS = 3.2
# Brightness per second of the motion that every file shows.
SLOPE = 70
SIZE = 16
OPTIONS = ClipOptions(frames=6, size=SIZE, sampling="dense", stride=4, fps=25)


def even_times(rate):
    return [number / rate for number in range(round(SECONDS * rate))]


def varying_times():
    """Frames 20 to 40 ms apart, in milliseconds as phones write them."""
    gaps = np.random.default_rng(0).integers(20, 41, 200)
    times = [0.0, *(np.cumsum(gaps) / 1000).tolist()]
    return [time for time in times if time < SECONDS]


TIMES = {"50": even_times(50), "30": even_times(30), "25": even_times(25), "varying": varying_times()}


def write_at(path: pathlib.Path, times) -> pathlib.Path:
    """Writes a video whose brightness at each time tells that time, with frames at these times."""
    with av.open(str(path), "w") as container:
        codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
        options = {"crf": "10", "cpu-used": "8", "deadline": "realtime"} if path.suffix == ".webm" else {"crf": "10"}
        stream = container.add_stream(codec, rate=1000, options=options)
        stream.height = stream.width = SIZE * 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, 1000)
        stream.codec_context.gop_size = 12
        for time, later in zip(times, [*times[1:], SECONDS], strict=True):
            picture = np.full((SIZE * 2, SIZE * 2, 3), round(10 + SLOPE * time), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), fractions.Fraction(1, 1000)
            frame.duration = round(1000 * (later - time))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown_times(clip):
    """The time that each frame tells, in seconds."""
    return (clip.reshape(len(clip), -1).mean(1) - 10) / SLOPE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    for name, times in TIMES.items():
        (folder / name).mkdir()
        for suffix in (".mp4", ".webm", ".mkv"):
            write_at(folder / name / f"clip{suffix}", times)
    return folder


FILES = [f"{name}/clip{suffix}" for name in TIMES for suffix in (".mp4", ".webm", ".mkv")]


def whole(path):
    return StoredClip("clip", 0, str(path))


@pytest.mark.parametrize("file", FILES)
def test_training_draws_the_same_moments_of_files_of_every_rate(folder, file):
    for seed in range(4):
        expected = shown_times(
            decode_training_clip(whole(folder / "25" / "clip.mp4"), OPTIONS, np.random.default_rng(seed))
        )
        assert np.allclose(np.diff(expected), 4 / 25, atol=0.02)
        given = decode_training_clip(whole(folder / file), OPTIONS, np.random.default_rng(seed))
        # Half the longest distance of frames, and what coding makes of the brightness.
        np.testing.assert_allclose(shown_times(given), expected, atol=0.045)


@pytest.mark.parametrize("file", FILES)
def test_evaluation_cuts_the_same_views_of_files_of_every_rate(folder, file):
    expected = clip_views(whole(folder / "25" / "clip.mp4"), OPTIONS, clips=3)
    given = clip_views(whole(folder / file), OPTIONS, clips=3)
    for theirs, ours in zip(expected, given, strict=True):
        np.testing.assert_allclose(shown_times(ours), shown_times(theirs), atol=0.045)


def test_counting_frames_shows_other_moments_at_other_rates(folder):
    by_frame = ClipOptions(frames=6, size=SIZE, sampling="dense", stride=4)
    spans = {name: np.ptp(shown_times(clip_views(whole(folder / name / "clip.mp4"), by_frame)[0])) for name in TIMES}
    assert spans["50"] == pytest.approx(20 / 50, abs=0.03)
    assert spans["25"] == pytest.approx(20 / 25, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_a_clock_at_the_rate_of_an_even_file_takes_its_frames_one_by_one(folder, suffix):
    clip = whole(folder / "25" / f"clip{suffix}")
    clock = read_clock(clip, 25)
    assert clock.ticks == clip_frames(clip)[1] == 80
    assert clock.frames_at(np.arange(80)).tolist() == list(range(80))


def test_the_earlier_of_two_equally_near_frames_is_taken_whatever_milliseconds_round():
    for rounding in (-0.0005, 0.0, 0.0005):
        clock = FrameClock(5, 4, 25, np.array([0.0, 0.08 + rounding]))
        assert clock.frames_at(np.arange(4)).tolist() == [5, 5, 6, 6]


@pytest.mark.fast_cases("copy")
@pytest.mark.parametrize("codec", ["copy", "h264-fast"])
def test_prepared_clips_give_the_moments_of_their_files_also_of_parts(folder, tmp_path, codec):
    rows = [(file, start, end) for file in FILES for start, end in (("", ""), (0.8, 2.4))]
    listed = folder / f"{codec}.csv"
    listed.write_text("path,label,start,end\n" + "".join(f"{file},{file[0]},{a},{b}\n" for file, a, b in rows))
    prepare_dataset(read(listed, 0), tmp_path / "out", codec=codec, workers=1, progress=False)
    prepared, files = open_prepared(tmp_path / "out", "train"), read_video_list(listed)
    assert len(prepared) == len(files) == len(rows)
    for row in range(len(rows)):
        assert prepared[row].id == files[row].id
        ours, theirs = (read_clock(source[row], 25) for source in (prepared, files))
        assert abs(ours.ticks - theirs.ticks) <= 1
        assert abs(theirs.ticks - (80 if row % 2 == 0 else 40)) <= 1
        ticks = np.arange(min(ours.ticks, theirs.ticks))
        np.testing.assert_array_equal(
            ours.frames_at(ticks) - ours.first_frame, theirs.frames_at(ticks) - theirs.first_frame
        )


@pytest.mark.slow
def test_worker_processes_and_resumption_give_the_same_stream(folder):
    listed = folder / "stream.csv"
    listed.write_text("path,label\n" + "".join(f"{file},{file[0]}\n" for file in FILES))
    source = read_video_list(listed)

    def open_batches(workers):
        return TrainingBatches(source, OPTIONS, batch_size=4, seed=5, workers=workers)

    with contextlib.closing(open_batches(0)) as batches:
        reference = list(itertools.islice(batches, 5))
    with contextlib.closing(open_batches(1)) as batches:
        first = list(itertools.islice(batches, 2))
        state = json.loads(json.dumps(batches.get_state()))
    with contextlib.closing(open_batches(0)) as batches:
        batches.set_state(state)
        rest = list(itertools.islice(batches, 3))
    for ours, theirs in zip([*first, *rest], reference, strict=True):
        assert not any(ours["failed"])
        np.testing.assert_array_equal(ours["clip"], theirs["clip"])


def test_frame_folders_have_no_times(tmp_path):
    cv2 = pytest.importorskip("cv2")
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(VideoDecodeError, match=r"JPEG files has no times.*data\.fps=25.*data\.fps=0.*h264-fast"):
        read_clock(whole(tmp_path), 25)
    assert read_clock(whole(tmp_path), 0).ticks == 4


def test_a_listed_number_of_frames_beyond_the_file_is_named(folder):
    clip = StoredClip("clip", 0, str(folder / "25" / "clip.mp4"), first_frame=80, frames=4)
    with pytest.raises(VideoDecodeError, match="frame 80 was asked for and the video has 80 frames"):
        read_clock(clip, 25)


def test_a_rate_goes_with_dense_sampling_alone():
    with pytest.raises(UserError, match="fps=25 is for dense sampling, and sampling is 'segment'"):
        ClipOptions(fps=25)
    with pytest.raises(UserError, match="fps is nan, but must be a number from 0 to 1000"):
        ClipOptions(fps=float("nan"), sampling="dense")
