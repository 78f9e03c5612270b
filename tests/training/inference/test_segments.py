"""The rules of segments: smoothing over windows, hysteresis, closing gaps and dropping what is short."""

import itertools
import math

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.training.inference.segments import (
    Segment,
    SegmentRules,
    SegmentTracker,
    WindowProbabilities,
    find_segments,
    smoothed,
)

NAMES = ("a", "b", "c")


def pieces(shares: list[tuple[float, ...] | None], length: float = 1.0):
    """Pieces of time with these probabilities."""
    for number, share in enumerate(shares):
        yield number * length, (number + 1) * length, None if share is None else np.array(share)


def labels(shares: list[float], **rules: float) -> str:
    """The label of each second, "." for none, where `a` has these probabilities and no other has any."""
    found = find_segments(pieces([(share, 0.0, 0.0) for share in shares]), NAMES, SegmentRules(**rules))
    return drawn(found, len(shares))


def drawn(segments: list[Segment], seconds: int) -> str:
    line = ["."] * seconds
    for one in segments:
        for second in range(round(one.start), round(one.end)):
            assert line[second] == "."
            line[second] = one.label
    return "".join(line)


def test_a_label_begins_high_and_ends_low() -> None:
    shares = [0.2, 0.45, 0.6, 0.45, 0.31, 0.29, 0.45, 0.5]
    assert labels(shares) == "..aaa..a"
    assert labels(shares, enter=0.45, leave=0.45) == ".aaa..aa"


def test_a_label_gives_way_to_another_that_begins() -> None:
    shares = [(0.6, 0.1, 0.1), (0.4, 0.45, 0.0), (0.4, 0.5, 0.0), (0.45, 0.5, 0.0), None, (0.4, 0.4, 0.1)]
    assert drawn(find_segments(pieces(shares), NAMES, SegmentRules()), 6) == "aabb.."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("aa.aa", "aaaaa"),  # a gap is closed
        ("aa..aa", "aa..aa"),
        ("a..bb", "...bb"),  # a short segment is dropped
        ("a.a..bb", "aaa..bb"),  # but not before its gaps are closed
        ("aabaa", "aaaaa"),  # what a short one parted is joined
        ("aabbaa", "aabbaa"),
        ("b.aa", "..aa"),
    ],
)
def test_short_gaps_are_closed_and_short_segments_dropped(before: str, after: str) -> None:
    shares = [tuple(0.9 if name == letter else 0.0 for name in NAMES) for letter in before]
    found = find_segments(pieces(shares), NAMES, SegmentRules(min_length=2.0))
    assert drawn(found, len(before)) == after
    assert drawn(find_segments(pieces(shares), NAMES, SegmentRules()), len(before)) == before


def test_the_probability_is_the_mean_where_the_label_held() -> None:
    shares = [(0.9, 0.0, 0.0), (0.1, 0.0, 0.0), (0.7, 0.0, 0.0)]
    (found,) = find_segments(pieces(shares), NAMES, SegmentRules(min_length=2.0))
    assert found == Segment(0.0, 3.0, "a", pytest.approx(0.8))


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_in_order_long_enough_and_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = [tuple(row) for row in rng.dirichlet((0.3, 0.3, 0.3), 80)]
    rules = SegmentRules(*sorted(rng.uniform(0.1, 0.9, 2).tolist(), reverse=True), min_length=float(rng.integers(0, 4)))
    found = find_segments(pieces(shares), NAMES, rules)
    for one in found:
        assert one.seconds >= rules.min_length - 1e-6
        assert rules.leave - 1e-6 <= one.probability <= 1
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start
        assert one.label != other.label or other.start - one.end >= rules.min_length - 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_a_piece_has_the_mean_of_the_windows_over_its_middle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hop, start, length = rng.uniform(0.1, 1), rng.uniform(0, 5), 20.0
    seconds = hop * rng.uniform(1, 5)
    windows = []
    for number in range(1 + math.ceil((length - seconds) / hop)):
        begin = start + number * hop
        share = None if rng.random() < 0.1 else rng.dirichlet((1, 1, 1))
        windows.append(WindowProbabilities(begin, min(begin + seconds, start + length), share))
    found = list(smoothed(iter(windows), hop, start))
    assert found[0][0] == pytest.approx(start)
    assert found[-1][1] == pytest.approx(start + length)
    for (begin, stop, share), following in zip(found, [*found[1:], None], strict=True):
        assert following is None or stop == pytest.approx(following[0])
        middle = (begin + stop) / 2
        over = [one.probabilities for one in windows if one.start <= middle < one.end and one.probabilities is not None]
        if over:
            np.testing.assert_allclose(share, np.mean(over, axis=0))
        else:
            assert share is None


def test_windows_that_are_left_out_leave_a_gap() -> None:
    share = np.array([0.9, 0.1, 0.0])
    windows = [WindowProbabilities(begin, begin + 1.0, share) for begin in (0.0, 0.5, 4.0, 4.5)]
    found = find_segments(smoothed(windows, 0.5, 0.0), NAMES, SegmentRules())
    assert [(one.start, one.end) for one in found] == [(0.0, 1.5), (4.0, 5.5)]


@pytest.mark.parametrize("hop", [0.1, 0.3, 0.7, 1 / 3])
def test_times_are_told_without_the_noise_of_sums(hop: float) -> None:
    shares = [(0.9, 0.0, 0.0) if number % 2 else (0.0, 0.9, 0.0) for number in range(40)]
    windows = [WindowProbabilities(n * hop, (n + 1) * hop, np.array(share)) for n, share in enumerate(shares)]
    found = find_segments(smoothed(windows, hop, 0.0), NAMES, SegmentRules())
    assert [one.start for one in found] == [round(number * hop, 6) for number in range(40)]
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


def test_smoothing_holds_only_windows_that_overlap() -> None:
    alive = []

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive.pop()

    def windows():
        for number in range(200):
            share = np.array([1.0, 0.0, 0.0]).view(Counted)
            alive.append(1)
            yield WindowProbabilities(number * 0.5, number * 0.5 + 2.0, share)
            assert len(alive) < 60

    assert len(list(smoothed(windows(), 0.5, 0.0))) == 203


@pytest.mark.parametrize(
    "numbers", [{"enter": 1.5}, {"leave": -0.1}, {"enter": 0.2}, {"min_length": -1.0}, {"enter": math.nan}]
)
def test_rules_that_make_no_sense_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(UserError, match="segments: "):
        SegmentRules(**numbers)


def random_pieces(rng: np.random.Generator) -> list[tuple[float, float, np.ndarray | None]]:
    """Pieces of time of one length, with probabilities that change seldom or often, and some without any."""
    spread, length = rng.choice([0.1, 0.3, 1.0]), rng.choice([1.0, 0.3])
    shares = [None if rng.random() < 0.1 else tuple(rng.dirichlet((spread,) * 3)) for _ in range(rng.integers(1, 40))]
    return list(pieces(shares, length))


def random_rules(rng: np.random.Generator, length: float) -> SegmentRules:
    leave, enter = sorted(rng.uniform(0.1, 0.9, 2).tolist())
    return SegmentRules(enter, leave, min_length=float(rng.integers(0, 4)) * length)


@pytest.mark.parametrize("seed", range(40))
def test_a_segment_is_opened_when_it_is_sure_and_closed_when_it_can_grow_no_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = random_pieces(rng)
    length = given[0][1] - given[0][0]
    rules = random_rules(rng, length)
    tracker = SegmentTracker(NAMES, rules)
    changes = [(stop, change) for begin, stop, share in given for change in tracker.add(begin, stop, share)]
    end = given[-1][1]
    changes += [(end, change) for change in tracker.end()]
    assert [change.kind for _, change in changes] == ["opened", "closed"] * (len(changes) // 2)
    for (when, opened), (_, closed) in zip(changes[::2], changes[1::2], strict=True):
        assert (opened.segment.start, opened.segment.label) == (closed.segment.start, closed.segment.label)
        assert rules.min_length - 1e-5 <= when - opened.segment.start
    for when, closed in changes[1::2]:
        # No longer than gaps are closed for, twice: a stretch in such a gap may yet grow to be long.
        assert when - closed.segment.end <= 2 * rules.min_length + length + 1e-5
    assert [change.segment for _, change in changes if change.kind == "closed"] == find_segments(given, NAMES, rules)


@pytest.mark.parametrize("seed", range(40))
def test_what_comes_later_changes_no_segment_that_is_closed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = random_pieces(rng)
    rules = random_rules(rng, given[0][1] - given[0][0])
    whole = find_segments(given, NAMES, rules)
    for count in range(len(given)):
        tracker = SegmentTracker(NAMES, rules)
        closed = [
            change.segment for piece in given[:count] for change in tracker.add(*piece) if change.kind == "closed"
        ]
        assert closed == whole[: len(closed)]
