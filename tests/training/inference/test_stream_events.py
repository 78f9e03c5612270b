"""Events of streams: those of a timeline, as they come, with few windows waiting and nothing left behind."""

import dataclasses
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError
from motion_vit.data.streams.given_frames import GivenFrames
from motion_vit.data.video.encoding import write_video
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference import timeline
from motion_vit.training.inference.segments import Segment, SegmentRules, WindowProbabilities
from motion_vit.training.inference.stream_events import StreamEvent

RULES = SegmentRules(enter=0.11, leave=0.105, min_length=0.6)
RATE = 12


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Flax's own modules rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Four and a half seconds of noise, another every second."""
    rng = np.random.default_rng(0)
    seconds = [np.repeat(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), RATE, axis=0) for _ in range(5)]
    return np.concatenate(seconds)[: 4 * RATE + RATE // 2]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> str:
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    write_video(path, frames, fps=RATE)
    return str(path)


def closed(events: list[StreamEvent]) -> list[Segment]:
    return [Segment(one.start, one.end, one.label, one.probability) for one in events if one.kind == "closed"]


@pytest.mark.parametrize("numbers", [{}, {"hop": 0.3}, {"hop": 1.0, "seconds": 3.2}, {"clips": 2, "crops": 3}], ids=str)
def test_windows_and_segments_of_a_file_are_those_of_its_timeline(
    trained: TrainedModel, video: str, numbers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = list(motion_vit.stream(video, trained, window=1.0, rules=RULES, **numbers))
    kept: list[WindowProbabilities] = []
    counted = timeline._Run.counted

    def keep(*arguments: Any) -> WindowProbabilities:
        kept.append(counted(*arguments))
        return kept[-1]

    monkeypatch.setattr(timeline._Run, "counted", keep)
    expected = trained.timeline(video, window=1.0, rules=RULES, end=numbers.pop("seconds", None), **numbers)
    windows = [one for one in events if one.kind == "window"]
    assert [(one.start, one.end) for one in windows] == [pytest.approx((one.start, one.end)) for one in kept]
    for one, other in zip(windows, kept, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=1e-3)
        assert one.label == trained.label_names[int(np.argmax(other.probabilities))]
    assert expected.segments
    assert closed(events) == [
        dataclasses.replace(one, probability=pytest.approx(one.probability, rel=1e-3)) for one in expected.segments
    ]
    assert {one.dropped for one in events} == {0}


def test_an_iterator_gives_the_events_of_its_frames_as_they_come(trained: TrainedModel, frames: np.ndarray) -> None:
    taken = []

    def pictures() -> Iterator[np.ndarray]:
        for number, frame in enumerate(frames):
            taken.append(number)
            yield frame

    windows = []
    for event in motion_vit.stream(pictures(), trained, window=1.0, hop=0.5, frame_rate=RATE, rules=RULES):
        if event.kind == "window":
            windows.append(event)
            # A window on its way, those that wait, one that is being put, and the frames of the next.
            assert len(taken) <= (event.end + 0.5 * 4) * RATE + 2
        assert event.behind >= 0
    assert [one.end for one in windows] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    assert windows[0].to_dict() == {
        "event": "window",
        "start": 0.0,
        "end": 1.0,
        "label": windows[0].label,
        "probability": windows[0].probability,
        "behind": round(windows[0].behind, 3),
        "dropped": 0,
    }
    assert str(windows[0]).startswith("     0.00 -      1.00 s  window  ")


def test_a_slow_reader_of_events_misses_windows_and_is_told_how_many(trained: TrainedModel, frames: np.ndarray) -> None:
    started, ended = threading.Event(), threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        yield from frames[: 2 * RATE]
        started.wait(10)
        yield from frames[2 * RATE :]
        ended.set()

    events = motion_vit.stream(pictures(), trained, window=1.0, hop=0.25, frame_rate=RATE, drop=True)
    first = next(events)
    started.set()
    ended.wait(10)
    windows = [first, *(one for one in events if one.kind == "window")]
    assert windows[-1].end == 4.5
    assert len(windows) + windows[-1].dropped == 15
    assert windows[-1].dropped > 5


def test_closing_ends_the_thread_and_the_source(trained: TrainedModel, frames: np.ndarray) -> None:
    was_closed = threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        try:
            while True:
                yield from frames
        finally:
            was_closed.set()

    before = threading.active_count()
    events = motion_vit.stream(pictures(), trained, window=1.0, frame_rate=RATE)
    next(events)
    events.close()
    assert was_closed.is_set()
    assert threading.active_count() == before


def test_no_window_shows_frames_of_both_sides_of_a_gap(
    trained: TrainedModel, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = GivenFrames.frames

    def with_gap(self: Any, short_side: int) -> Iterator[Any]:
        for frame in given(self, short_side):
            later = frame.seconds >= 2.0
            yield dataclasses.replace(
                frame, seconds=frame.seconds + 7.3 * later, after_gap=later and frame.seconds < 2.05
            )

    monkeypatch.setattr(GivenFrames, "frames", with_gap)
    events = list(motion_vit.stream(iter(frames), trained, window=1.0, hop=0.5, frame_rate=RATE, rules=RULES))
    spans = [(one.start, one.end) for one in events if one.kind == "window"]
    assert spans[:3] == [pytest.approx(one) for one in [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0)]]
    assert spans[3:] == [pytest.approx(one) for one in [(9.3, 10.3), (9.8, 10.8), (10.3, 11.3), (10.8, 11.8)]]
    assert all(one.end <= 2.1 or one.start >= 9.0 for one in closed(events))


def test_what_was_found_before_a_stream_broke_is_not_lost(trained: TrainedModel, frames: np.ndarray) -> None:
    def pictures() -> Iterator[Any]:
        yield from frames[: 2 * RATE]
        yield "no frame"

    found: list[StreamEvent] = []
    events = motion_vit.stream(pictures(), trained, window=1.0, frame_rate=RATE, rules=RULES)
    with pytest.raises(UserError, match="frame 24 of the frames is str"):
        found.extend(events)
    assert closed(found)


def test_windows_whose_logits_are_not_finite_have_no_label(trained: TrainedModel, frames: np.ndarray) -> None:
    damaged = dataclasses.replace(trained, variables=jax.tree.map(lambda leaf: leaf * np.nan, trained.variables))
    events = list(motion_vit.stream(iter(frames), damaged, window=1.0, hop=1.0, frame_rate=RATE))
    assert {(one.kind, one.label, one.probability) for one in events} == {("window", "", 0.0)}
    assert "its logits are NaN or infinite" in str(events[0])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"window": 0.0}, "window is 0.0, but must be"),
        ({"window": 1.0, "hop": 2.0}, "the hop, 2 s, is longer than the window"),
        ({"window": 1.0, "seconds": 0.0}, "must start at 0 s or later and end after its start"),
        ({"window": 1.0, "clips": 0}, "clips is 0"),
        ({"window": 1.0, "attempts": -1}, "attempts is -1"),
    ],
)
def test_wrong_numbers_are_told_before_anything_is_opened(
    trained: TrainedModel, numbers: dict[str, Any], said: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match=said):
        motion_vit.stream(tmp_path / "absent.mp4", trained, **numbers)


def test_an_empty_stream_is_told(trained: TrainedModel) -> None:
    with pytest.raises(UserError, match="it ended before its first picture"):
        next(motion_vit.stream(iter(()), trained, window=1.0, frame_rate=RATE))


def test_events_are_behind_by_what_the_model_takes(trained: TrainedModel, frames: np.ndarray) -> None:
    def pictures() -> Iterator[tuple[float, np.ndarray]]:
        start = time.monotonic()
        for number, frame in enumerate(frames[: 2 * RATE]):
            time.sleep(max(0.0, start + number / RATE / 4 - time.monotonic()))
            yield number / RATE, frame

    windows = [one for one in motion_vit.stream(pictures(), trained, window=0.5, hop=0.5) if one.kind == "window"]
    assert len(windows) == 4
    assert windows[0].behind < 0.6
