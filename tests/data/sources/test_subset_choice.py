"""Subsets of a source: so many clips of each class, the smaller within the larger, wherever they are chosen."""

import itertools

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.sources.clip_index import NO_CLASS, ClipIndex
from motion_vit.data.sources.subset_choice import SubsetSize, choose_rows, parse_size

NAMES = ("clap", "nod", "wave")
COUNTS = (40, 10, 5)
INDEX = ClipIndex(tuple(f"v{number}.mp4" for number in range(55)), np.repeat(np.arange(3, dtype=np.int32), COUNTS))


def chosen(size: SubsetSize, seed: int = 0, index: ClipIndex = INDEX) -> list[int]:
    return choose_rows(index, NAMES, size, seed=seed, name="videos.csv")


def counts(rows: list[int]) -> list[int]:
    return np.bincount(INDEX.labels[rows], minlength=3).tolist()


def test_shots_are_of_each_class_and_a_share_keeps_the_proportions() -> None:
    assert counts(chosen(SubsetSize(shots=4))) == [4, 4, 4]
    assert counts(chosen(SubsetSize(share=0.2))) == [8, 2, 1]
    # One at least: a class without a clip could not be learned.
    assert counts(chosen(SubsetSize(share=0.01))) == [1, 1, 1]
    assert chosen(SubsetSize(share=1.0)) == list(range(55))


def test_smaller_subsets_lie_within_larger_ones_and_other_seeds_choose_others() -> None:
    for seed in range(5):
        shots = [set(chosen(SubsetSize(shots=number), seed)) for number in range(1, 6)]
        assert all(few < more for few, more in itertools.pairwise(shots))
        shares = [set(chosen(SubsetSize(share=share), seed)) for share in (0.1, 0.3, 0.5, 1.0)]
        assert all(few < more for few, more in itertools.pairwise(shares))
    assert len({tuple(chosen(SubsetSize(shots=2), seed)) for seed in range(5)}) > 1


def test_the_choice_does_not_depend_on_the_order_of_the_list_or_on_other_clips() -> None:
    names = {INDEX.ids[row] for row in chosen(SubsetSize(shots=3))}
    order = np.random.default_rng(0).permutation(55)
    shuffled = ClipIndex(tuple(INDEX.ids[row] for row in order), INDEX.labels[order])
    assert {shuffled.ids[row] for row in chosen(SubsetSize(shots=3), index=shuffled)} == names
    # A clip that is added can only take a place of its own.
    longer = ClipIndex((*INDEX.ids, "new.mp4"), np.append(INDEX.labels, np.int32(2)))
    assert len(names - {longer.ids[row] for row in chosen(SubsetSize(shots=3), index=longer)}) <= 1


def test_the_clips_of_a_seed_are_the_same_on_every_machine() -> None:
    assert [INDEX.ids[row] for row in chosen(SubsetSize(shots=1), seed=7)] == ["v1.mp4", "v43.mp4", "v54.mp4"]


def test_a_record_that_cannot_be_read_is_not_chosen() -> None:
    labels = INDEX.labels.copy()
    labels[:36] = NO_CLASS
    assert min(chosen(SubsetSize(shots=4), index=ClipIndex(INDEX.ids, labels))) == 36


def test_classes_with_too_few_clips_are_named_with_a_way_out() -> None:
    with pytest.raises(
        UserError, match=r"2 classes of videos.csv have fewer than 12 clips: 'nod' \(10\), 'wave' \(5\)"
    ):
        chosen(SubsetSize(shots=12))
    with pytest.raises(UserError, match=r"Take 5 shots or fewer, or a share"):
        chosen(SubsetSize(shots=12))
    without = ClipIndex(INDEX.ids[:50], INDEX.labels[:50])
    with pytest.raises(UserError, match=r"'wave' \(0\)\. Leave classes without a clip out of the data"):
        chosen(SubsetSize(shots=1), index=without)


def test_one_class_is_no_source_of_subsets() -> None:
    with pytest.raises(UserError, match=r"videos.csv has clips of one class alone, 'clap', but a subset takes"):
        chosen(SubsetSize(share=0.5), index=ClipIndex(INDEX.ids[:40], INDEX.labels[:40]))


@pytest.mark.parametrize(("text", "size"), [("all", 1.0), ("10%", 0.1), ("2.5%", 0.025), ("100%", 1.0), ("8", 8)])
def test_a_size_is_read_as_it_is_written(text: str, size: float) -> None:
    expected = SubsetSize(shots=size) if isinstance(size, int) else SubsetSize(share=size)
    assert parse_size(text) == expected
    assert parse_size(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "few", "-1", "1.5", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is no size of a subset|must be a"):
        parse_size(text)


def test_a_size_is_either_a_number_or_a_share() -> None:
    for given in ({}, {"shots": 1, "share": 0.5}):
        with pytest.raises(UserError, match=r"either so many shots of each class, or a share"):
            SubsetSize(**given)
