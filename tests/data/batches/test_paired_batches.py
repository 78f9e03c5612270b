"""Batches with unlabelled clips: a fixed ratio, two views of the same frames, and exact continuation."""

import contextlib
import itertools
import json
import pathlib

import numpy as np

from motion_vit.data.batches.batch import Batch
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.paired_batches import PairedBatches
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.batches.weak_and_strong import WeakAndStrongViews
from motion_vit.data.sources.unlabelled import open_unlabelled
from motion_vit.data.sources.video_list import read_video_list

OPTIONS = ClipOptions(frames=4, size=16, flip="label_aware")


def make_batches(folder: pathlib.Path, shard: tuple[int, int] = (0, 1), **views: str) -> PairedBatches:
    unlabelled = open_unlabelled(str(folder / "all.csv"))
    made = WeakAndStrongViews(OPTIONS, rand_augment=views.pop("rand_augment", ""), strong_time=views.pop("time", "off"))
    labelled = TrainingBatches(
        read_video_list(folder / "good.csv"), ClipOptions(frames=4, size=16), batch_size=2, seed=0, shard=shard
    )
    return PairedBatches(labelled, TrainingBatches(unlabelled, OPTIONS, views=made, batch_size=4, seed=1, shard=shard))


def take(batches: PairedBatches, count: int) -> list[Batch]:
    with contextlib.closing(batches):
        return list(itertools.islice(batches, count))


def assert_same(ours: Batch, theirs: Batch) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_batch_has_two_views_of_so_many_unlabelled_clips(video_folder: pathlib.Path) -> None:
    batches = take(make_batches(video_folder, rand_augment="rand-m9-n2"), 6)
    for batch in batches:
        assert batch["clip"].shape == (2, 4, 16, 16, 3)
        assert batch["unlabelled_weak"].shape == batch["unlabelled_strong"].shape == (4, 4, 16, 16, 3)
        np.testing.assert_array_equal(batch["unlabelled_label"], -1)
        # What cannot be decoded is black in both views, and counts nothing.
        lost = batch["unlabelled_weight"] == 0
        np.testing.assert_array_equal(lost, batch["unlabelled_reason"] != "")
        assert not batch["unlabelled_weak"][lost].any()
        assert not batch["unlabelled_strong"][lost].any()
        assert (batch["unlabelled_weak"][~lost] != batch["unlabelled_strong"][~lost]).any()
    assert any((batch["unlabelled_weight"] == 0).any() for batch in batches)


def test_strong_views_may_show_few_frames_more_often(video_folder: pathlib.Path) -> None:
    kept: dict[str, list[int]] = {"unlabelled_weak": [], "unlabelled_strong": []}
    for batch in take(make_batches(video_folder, time="repeat"), 6):
        for name, numbers in kept.items():
            decoded = batch[name][batch["unlabelled_weight"] > 0]
            numbers += [len(np.unique(clip.reshape(4, -1), axis=0)) for clip in decoded]
    # A third of the strong views has two frames; short videos alone show fewer than four in weak ones.
    assert kept["unlabelled_strong"].count(2) > 2 * kept["unlabelled_weak"].count(2)
    assert kept["unlabelled_weak"].count(4) > 2 / 3 * len(kept["unlabelled_weak"])


def test_both_streams_go_on_exactly(video_folder: pathlib.Path) -> None:
    expected = take(make_batches(video_folder), 4)
    with contextlib.closing(make_batches(video_folder)) as batches:
        for _ in range(2):
            next(batches)
        state = json.loads(json.dumps(batches.get_state()))
    with contextlib.closing(make_batches(video_folder)) as resumed:
        resumed.set_state(state)
        for batch in expected[2:]:
            assert_same(next(resumed), batch)


def test_hosts_share_the_clips_of_a_batch(video_folder: pathlib.Path) -> None:
    (whole,) = take(make_batches(video_folder), 1)
    parts = [take(make_batches(video_folder, shard=(host, 2)), 1)[0] for host in range(2)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    assert_same(joined, whole)
