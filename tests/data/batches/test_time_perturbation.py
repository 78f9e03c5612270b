import numpy as np
import pytest

from motion_vit.data.batches.batch_ranges import TimePerturbation
from motion_vit.data.batches.time_perturbation import perturbed_order


def orders(kind: TimePerturbation, frames: int = 8, count: int = 300) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [perturbed_order(frames, kind, rng).tolist() for _ in range(count)]


def test_off_keeps_the_order() -> None:
    assert orders("off", count=3) == [list(range(8))] * 3


def test_repeat_shows_two_or_four_frames_around_their_own_places() -> None:
    found = orders("repeat")
    kept = [len(set(order)) for order in found]
    assert {2, 4, 8} == set(kept)
    assert all(80 < kept.count(number) < 120 for number in (2, 4, 8))
    for order in found:
        assert order == sorted(order)
        assert all(order[frame] == frame for frame in set(order))
    assert len({tuple(order) for order in found}) > 100
    assert orders("repeat", frames=2, count=20) == [[0, 1]] * 20


@pytest.mark.parametrize("kind", ["shuffle", "reverse"])
def test_half_of_the_clips_are_shuffled_or_reversed(kind: TimePerturbation) -> None:
    found = orders(kind)
    assert all(sorted(order) == list(range(8)) for order in found)
    assert 120 < sum(order == list(range(8)) for order in found) < 180
    others = [order for order in found if order != list(range(8))]
    assert (set(map(tuple, others)) == {tuple(range(7, -1, -1))}) == (kind == "reverse")
