"""Videos one by one for adaptation: what is classified is what an evaluation classifies, corrupted or not."""

import contextlib

import numpy as np
import pytest

from motion_vit.data.batches.adaptation_clips import adaptation_clips, adaptation_ticks
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.video_list import read_video_list

OPTIONS = ClipOptions(frames=4, size=16)


def take(dataset):
    with contextlib.closing(iter(dataset)) as iterator:
        return list(iterator)


@pytest.fixture(scope="module")
def with_broken(video_folder):
    return read_video_list(video_folder / "all.csv")


@pytest.mark.parametrize("corruption", [None, Corruption("shot_noise", 4)], ids=["as they are", "corrupted"])
def test_the_clips_are_those_of_an_evaluation_in_the_order_asked_for(with_broken, corruption):
    rows = np.array([5, 0, 7, 3])
    found = take(adaptation_clips(with_broken, OPTIONS, rows, views=2, clips=2, crops=3, corruption=corruption))
    batches = evaluation_batches(with_broken, OPTIONS, batch_size=6, clips=2, crops=3, corruption=corruption, threads=1)
    known = {int(batch["index"][0]): batch for batch in take(batches)}
    assert [int(example["index"]) for example in found] == rows.tolist()
    for example in found:
        batch = known[int(example["index"])]
        np.testing.assert_array_equal(example["clip"], batch["clip"])
        assert (example["label"], example["weight"]) == (batch["label"][0], batch["weight"][0])
        assert example["views"].shape == (2, 4, 16, 16, 3)
    assert {float(example["weight"]) for example in found} == {0.0, 1.0}


@pytest.mark.slow
def test_corrupted_clips_do_not_depend_on_threads_and_processes(with_broken):
    def clips(**settings):
        batches = evaluation_batches(with_broken, OPTIONS, batch_size=4, corruption=Corruption("rain", 2), **settings)
        return np.concatenate([batch["clip"] for batch in take(batches)])

    alone = clips(threads=1)
    np.testing.assert_array_equal(alone, clips(threads=3))
    np.testing.assert_array_equal(alone, clips(workers=2))


def test_rows_may_be_chosen(with_broken):
    batches = evaluation_batches(with_broken, OPTIONS, batch_size=2, rows=np.array([4, 1, 2]))
    assert np.concatenate([batch["index"] for batch in take(batches)]).tolist() == [4, 1, 2, -1]


def test_views_for_segments_are_equidistant_and_dense_ones_lie_where_a_test_looks():
    # Segments of 5 frames: the first view takes the first of each, the second the last.
    views = [adaptation_ticks(20, OPTIONS, view, 2).tolist() for view in range(2)]
    assert views == [[0, 5, 10, 15], [4, 9, 14, 19]]
    dense = ClipOptions(frames=4, size=16, sampling="dense", stride=2)
    assert [adaptation_ticks(20, dense, view, 2).tolist() for view in range(2)] == [[0, 2, 4, 6], [13, 15, 17, 19]]
    assert adaptation_ticks(2, OPTIONS, 1, 2).tolist() == [0, 0, 1, 1]
