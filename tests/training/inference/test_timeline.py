"""Timelines of videos: each window as if its part were classified alone, and what was found before a video broke."""

import dataclasses
import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.data.batches import window_views
from motion_vit.data.batches.window_views import WindowReader
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoding import write_video
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.segments import SegmentRules

EVERYTHING = SegmentRules(enter=0.0, leave=0.0)


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Flax's own modules rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four seconds of noise, another every second."""
    rng = np.random.default_rng(0)
    seconds = [np.repeat(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), 12, axis=0) for _ in range(4)]
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    write_video(path, np.concatenate(seconds), fps=12)
    return str(path)


def test_windows_that_do_not_overlap_are_parts_classified_alone(trained: TrainedModel, video: str) -> None:
    found = trained.timeline(video, window=1, hop=1, rules=EVERYTHING, batch_size=2)
    assert (found.windows, found.start, found.end) == (4, 0.0, 4.0)
    assert found.segments[0].start == 0
    assert found.segments[-1].end == 4
    for second in range(4):
        (alone,) = trained.predict(video, top=1, start=second, end=second + 1)
        (over,) = [one for one in found.segments if one.start <= second < one.end]
        assert over.label == alone.classes[0][0]
        if over.seconds == 1:
            assert over.probability == pytest.approx(alone.classes[0][1], rel=1e-3)


def test_a_quarter_of_a_window_is_the_hop_and_a_part_can_be_asked_for(trained: TrainedModel, video: str) -> None:
    whole = trained.timeline(video, window=2)
    assert (whole.windows, whole.found) == (5, ())
    part = trained.timeline(video, window=2, start=1, end=3.5, rules=EVERYTHING)
    assert (part.windows, part.start, part.end) == (2, 1.0, 3.5)
    assert (part.segments[0].start, part.segments[-1].end) == (1.0, 3.5)
    assert trained.timeline(video, window=100).windows == 1


def test_a_video_that_breaks_keeps_what_was_found_before(
    trained: TrainedModel, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = WindowReader.__iter__

    def breaking(self: WindowReader) -> Iterator[window_views.WindowViews]:
        for number, one in enumerate(read(self)):
            if number == 3:
                raise VideoDecodeError("noise.mp4", "the file is cut off")
            yield one

    monkeypatch.setattr(WindowReader, "__iter__", breaking)
    found = trained.timeline(video, window=1, hop=0.5, rules=EVERYTHING, batch_size=2)
    assert (found.windows, found.end, found.error) == (3, 2.0, "the file is cut off")
    assert found.segments[-1].end == 2.0
    assert found.to_dict()["error"] == found.error
    assert str(found).endswith("  not all of it is classified: the file is cut off")


def test_a_video_of_which_nothing_can_be_read_is_an_error(trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    with pytest.raises(VideoDecodeError, match="the file does not exist"):
        trained.timeline(tmp_path / "absent.mp4", window=1)
    named = NamedVideo("no*.mp4", error="no file has this name")
    assert trained.timeline_of(named, window=1, hop=1, rules=EVERYTHING).error == named.error
    for numbers in ({"window": 0}, {"window": 1, "hop": 2}, {"window": 1, "start": 3, "end": 2}):
        with pytest.raises(UserError, match=r"must|hop"):
            trained.timeline("absent.mp4", **numbers)


@pytest.mark.parametrize("name", ["clips", "crops", "batch_size"])
def test_numbers_of_views_out_of_range_are_refused(trained: TrainedModel, video: str, name: str) -> None:
    with pytest.raises(UserError, match="must be"):
        trained.timeline(video, window=1, **{name: 0})


def test_windows_whose_logits_are_not_finite_have_no_label(trained: TrainedModel, video: str) -> None:
    damaged = dataclasses.replace(trained, variables=jax.tree.map(lambda leaf: leaf * np.nan, trained.variables))
    found = damaged.timeline(video, window=1, hop=1, rules=EVERYTHING)
    assert found.segments == ()
    assert found.failure == "the logits of 4 of 4 windows are NaN or infinite"


def test_windows_are_kept_where_that_is_asked_for(trained: TrainedModel, video: str) -> None:
    kept = trained.timeline(video, window=1, hop=1, keep=True)
    assert [(one.start, one.end) for one in kept.found] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    assert all(one.probabilities is not None and one.probabilities.sum() == pytest.approx(1) for one in kept.found)
