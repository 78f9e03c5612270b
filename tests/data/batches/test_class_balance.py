"""Training batches in which rare classes come more often: shares, order, hosts and interruptions."""

import contextlib
import itertools
import json
import pathlib

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.batches.class_balanced_order import ClassBalancedOrder
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.clip_index import index_clips
from motion_vit.data.sources.video_list import VideoList, read_video_list

OPTIONS = ClipOptions(frames=1, size=8)
LABELS = np.repeat(np.arange(4, dtype=np.int32), (61, 29, 9, 1))


def drawn(balance: float, epochs: int) -> np.ndarray:
    order = ClassBalancedOrder(LABELS, balance, seed=3)
    rows = np.concatenate([order.epoch(number) for number in range(epochs)])
    return np.bincount(LABELS[rows], minlength=4)


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 1.0])
def test_each_class_has_its_share_to_within_a_clip_over_any_number_of_epochs(balance: float) -> None:
    counts = np.array([61, 29, 9, 1])
    shares = counts ** (1 - balance) / (counts ** (1 - balance)).sum()
    for epochs in (1, 2, 7, 40):
        assert np.abs(drawn(balance, epochs) - epochs * 100 * shares).max() <= 1.001
        assert drawn(balance, epochs).sum() == epochs * 100


def test_no_clip_of_a_class_comes_twice_before_all_others_came() -> None:
    order = ClassBalancedOrder(LABELS, 0.7, seed=0)
    rows = np.concatenate([order.epoch(number) for number in range(9)])
    for clips in np.split(np.arange(100), np.cumsum([61, 29, 9])):
        times = np.bincount(rows, minlength=100)[clips]
        assert times.max() - times.min() <= 1


def test_without_balance_every_clip_comes_once_an_epoch_in_new_orders() -> None:
    order = ClassBalancedOrder(LABELS, 0.0, seed=0)
    first, second = order.epoch(0), order.epoch(1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert (first != second).any()


def test_a_row_depends_on_its_place_and_the_seed_alone() -> None:
    expected = [int(row) for number in range(4) for row in ClassBalancedOrder(LABELS, 0.5, seed=1).epoch(number)]
    order = ClassBalancedOrder(LABELS, 0.5, seed=1)
    places = np.random.default_rng(0).permutation(400).tolist()
    assert [order[place] for place in places] == [expected[place] for place in places]
    assert expected[:100] != ClassBalancedOrder(LABELS, 0.5, seed=2).epoch(0).tolist()


def test_rows_without_a_class_never_come() -> None:
    labels = LABELS.copy()
    labels[::2] = -1
    rows = ClassBalancedOrder(labels, 1.0, seed=0).epoch(0)
    assert len(rows) == 100
    assert (labels[rows] >= 0).all()


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory, video_folder: pathlib.Path) -> VideoList:
    """Six videos of one class and one of another."""
    rows = "".join(f"{video_folder}/v{number}.mp4,{'rare' if number == 6 else 'usual'}\n" for number in range(7))
    path = tmp_path_factory.mktemp("unequal") / "videos.csv"
    path.write_text("path,label\n" + rows)
    return read_video_list(path)


def indices(source: VideoList, count: int, **options: object) -> list[list[int]]:
    with contextlib.closing(TrainingBatches(source, OPTIONS, seed=5, class_balance=1.0, **options)) as batches:
        return [batch["index"].tolist() for batch in itertools.islice(batches, count)]


def test_a_rare_class_fills_half_of_the_batches_of_two_balanced_classes(unequal: VideoList) -> None:
    rows = np.array(indices(unequal, 7, batch_size=2))
    assert (unequal.labels[rows] == unequal.label_names.index("rare")).sum() == 7


def test_balanced_batches_resume_exactly_and_are_the_same_on_any_number_of_hosts(unequal: VideoList) -> None:
    whole = indices(unequal, 8, batch_size=4)
    with contextlib.closing(TrainingBatches(unequal, OPTIONS, batch_size=4, seed=5, class_balance=1.0)) as batches:
        collected = [next(batches)["clip"] for _ in range(3)]
        state = json.loads(json.dumps(batches.get_state()))
        collected += [next(batches)["clip"] for _ in range(2)]
    with contextlib.closing(TrainingBatches(unequal, OPTIONS, batch_size=4, seed=5, class_balance=1.0)) as resumed:
        resumed.set_state(state)
        later = [next(resumed) for _ in range(2)]
    assert [batch["index"].tolist() for batch in later] == whole[3:5]
    for one, other in zip(collected[3:], later, strict=True):
        np.testing.assert_array_equal(one, other["clip"])
    halves = [indices(unequal, 8, batch_size=4, shard=(host, 2)) for host in range(2)]
    assert [first + second for first, second in zip(*halves, strict=True)] == whole


def test_a_balance_out_of_range_is_refused(unequal: VideoList) -> None:
    with pytest.raises(UserError, match=r"class_balance is 1\.5, but must be a number from 0 to 1"):
        TrainingBatches(unequal, OPTIONS, batch_size=2, seed=0, class_balance=1.5)


def test_the_classes_of_a_list_are_known_without_reading(unequal: VideoList) -> None:
    index = index_clips(unequal)
    assert index.ids == unequal.ids
    np.testing.assert_array_equal(index.labels, unequal.labels)
