"""Which part of a video is looked at."""

import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.encoding import write_video
from motion_vit.errors import UserError
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.config import default_config
from motion_vit.visualization.clip_choice import ClipChoice, repeated_frames

FRAMES, FPS = 40, 10


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Frames that are brighter and brighter."""
    path = tmp_path_factory.mktemp("video") / "brighter.mp4"
    levels = (np.arange(FRAMES) * 6).astype(np.uint8)
    write_video(path, np.broadcast_to(levels[:, None, None, None], (FRAMES, 32, 32, 3)), fps=FPS)
    return str(path)


def recipe(sampling: str, *, fps: float = 0.0) -> ConfigDict:
    config = default_config()
    config.data.frames, config.data.size, config.data.sampling, config.data.stride = 4, 32, sampling, 2
    config.data.fps = fps
    config.evaluation.clips = 3
    return config


@pytest.mark.parametrize("sampling", ["dense", "segment"])
@pytest.mark.parametrize("clips", [None, 2, 5])
def test_the_numbered_clip_is_that_of_evaluation(video: str, sampling: str, clips: int | None) -> None:
    config = recipe(sampling)
    count = clips or 3
    views = clip_views(StoredClip(id="", label=0, video=video), clip_options(config), clips=count)
    for number in range(count):
        choice = ClipChoice(clip=number + 1, clips=clips)
        _, pixels = choice.read(video, config)
        np.testing.assert_array_equal(pixels, views[number])
        assert choice.in_words(config) == f"clip {number + 1} of {count}"


def test_no_choice_is_the_only_clip_of_an_evaluation_with_one(video: str) -> None:
    config = recipe("dense")
    _, pixels = ClipChoice().read(video, config)
    np.testing.assert_array_equal(pixels, clip_views(StoredClip(id="", label=0, video=video), clip_options(config))[0])


@pytest.mark.parametrize("start", [0, 0.7, 1.25, 3.0])
@pytest.mark.parametrize("fps", [0.0, 5.0])
def test_a_dense_clip_starts_at_the_second_that_is_given(video: str, start: float, fps: float) -> None:
    view, _ = ClipChoice(start=start).read(video, recipe("dense", fps=fps))
    first = int(np.ceil(start * FPS))
    # Ticks of a fifth of a second: the last is that of the last frame but one.
    apart, last = (2, FRAMES - 1) if fps == 0 else (4, FRAMES - 2)
    assert view.frame_numbers == tuple(min(first + apart * frame, last) for frame in range(4))


def test_segments_are_those_of_the_rest_of_the_video(video: str) -> None:
    view, _ = ClipChoice(start=2.0).read(video, recipe("segment"))
    whole, _ = ClipChoice().read(video, recipe("segment"))
    assert min(view.frame_numbers) >= 20 > min(whole.frame_numbers)
    assert view.frame_numbers[-1] > 35


def test_a_clip_that_the_video_is_too_short_for_is_told(video: str) -> None:
    view, _ = ClipChoice(start=3.7).read(video, recipe("dense"))
    assert view.frame_numbers == (37, 39, 39, 39)
    assert repeated_frames(view).startswith("The video is too short for this clip: 2 of its 4 frames repeat the frame")
    whole, _ = ClipChoice().read(video, recipe("dense"))
    assert repeated_frames(whole) == ""


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"start": 1.0, "clip": 2}, r"start=1 and clip=2 are given, but each chooses the part of the video"),
        ({"start": 1, "clips": 2}, r"start=1 and clips=2 are given"),
        ({"clips": 4}, r"clips=4 says how many clips .* give clip, a number from 1 to 4"),
        ({"clip": 5, "clips": 4}, r"clip 5 is asked for, but 4 clips are spread over the video, counted from 1\.$"),
        *[({"clip": clip}, "clip is .*, but must be a whole number from 1 to") for clip in (0, -1, 1.5, "2", True)],
        ({"clips": 0, "clip": 1}, "clips is 0, but must be a whole number from 1 to"),
        *[
            ({"start": start}, "start is .*, but must be a number from 0 to")
            for start in (-0.1, float("nan"), float("inf"), "1", True, 10**400)
        ],
    ],
)
def test_a_choice_that_cannot_be_is_told_before_a_video_is_opened(choice: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClipChoice(**choice)


def test_what_the_video_or_the_recipe_does_not_have_is_told(video: str, tmp_path: pathlib.Path) -> None:
    config = recipe("dense")
    one = r"clip 4 is asked for, but 3 clips are spread over the video by the recipe's evaluation\.clips, counted"
    for choice, message in (
        (ClipChoice(clip=4), one + r" from 1\. Give clips, too"),
        (ClipChoice(start=4.0), r"it has no frame from 4 s: its 40 frames end at 3\.900 s"),
        (ClipChoice(start=3.9), r"has 1 frame from 3\.9 s on, too few to see motion in: .* Give an earlier start"),
    ):
        with pytest.raises(UserError, match=message):
            choice.read(video, config)


def test_numbers_of_numpy_are_numbers(video: str) -> None:
    for numbered, plain in (
        (ClipChoice(clip=np.int64(2)), ClipChoice(clip=2)),
        (ClipChoice(start=np.float32(0.5)), ClipChoice(start=0.5)),
    ):
        assert numbered.read(video, recipe("dense"))[0] == plain.read(video, recipe("dense"))[0]
