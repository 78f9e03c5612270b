"""Training batches: their contents, their determinism over workers, hosts and interruptions, and broken videos."""

import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import tempfile
import time

import numpy as np
import pytest

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.errors import UserError

OPTIONS = ClipOptions(frames=4, size=16)


def take(batches, count):
    with contextlib.closing(batches):
        return list(itertools.islice(batches, count))


def assert_same_batches(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def good(video_folder):
    return read_video_list(video_folder / "good.csv")


@pytest.fixture(scope="module")
def with_broken(video_folder):
    return read_video_list(video_folder / "all.csv")


def test_a_training_batch_has_the_promised_arrays(good):
    (batch,) = take(TrainingBatches(good, OPTIONS, batch_size=6, seed=0), 1)
    kinds = {name: (array.shape, array.dtype) for name, array in batch.items()}
    assert kinds == {
        "clip": ((6, 4, 16, 16, 3), np.uint8),
        "label": ((6,), np.int32),
        "weight": ((6,), np.float32),
        "index": ((6,), np.int32),
        "failed": ((6,), np.dtype("<U1")),
        "reason": ((6,), np.dtype("<U1")),
    }
    assert not any([*batch["failed"], *batch["reason"]])
    np.testing.assert_array_equal(batch["label"], good.labels[batch["index"]])
    assert (batch["weight"] == 1).all()
    assert batch["clip"].any((1, 2, 3, 4)).all()


def test_every_epoch_has_every_video_once_in_a_new_order(good):
    rows = np.concatenate([batch["index"] for batch in take(TrainingBatches(good, OPTIONS, batch_size=3, seed=0), 7)])
    epochs = rows.reshape(3, 7)
    assert (np.sort(epochs, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_same_video_is_cut_differently_in_every_epoch(good):
    batches = take(TrainingBatches(good, OPTIONS, batch_size=7, seed=0), 2)
    first, second = (batch["clip"][np.argsort(batch["index"])] for batch in batches)
    assert all((one != other).any() for one, other in zip(first[3:], second[3:], strict=True))


def test_batches_depend_on_the_seed_alone(good):
    reference = take(TrainingBatches(good, OPTIONS, batch_size=4, seed=5), 4)
    assert_same_batches(reference, take(TrainingBatches(good, OPTIONS, batch_size=4, seed=5), 4))
    other = take(TrainingBatches(good, OPTIONS, batch_size=4, seed=6), 4)
    assert any((one["index"] != two["index"]).any() for one, two in zip(reference, other, strict=True))


@pytest.mark.slow
def test_worker_processes_give_the_batches_of_none_and_resume_each_others_state(good):
    reference = take(TrainingBatches(good, OPTIONS, batch_size=4, seed=5), 8)
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=4, seed=5, workers=2)) as iterator:
        assert_same_batches(reference[:5], list(itertools.islice(iterator, 5)))
        state = json.loads(json.dumps(iterator.get_state()))
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=4, seed=5)) as resumed:
        resumed.set_state(state)
        assert_same_batches(reference[5:], list(itertools.islice(resumed, 3)))


@pytest.mark.slow
def test_a_worker_process_that_is_killed_is_named_with_what_to_do(good):
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=4, seed=5, workers=1)) as iterator:
        next(iterator)
        (worker,) = (child for child in multiprocessing.active_children() if child.name != "SyncManager-1")
        os.kill(worker.pid, signal.SIGKILL)
        message = r"a process that reads videos has ended .*exit code -9.*fewer data\.workers"
        with pytest.raises(UserError, match=message):
            collections.deque(itertools.islice(iterator, 50), maxlen=0)


def test_an_iterator_goes_back_to_a_state_it_has_passed(good):
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=4, seed=1)) as iterator:
        next(iterator)
        state = iterator.get_state()
        passed = list(itertools.islice(iterator, 3))
        iterator.set_state(state)
        assert_same_batches(passed, list(itertools.islice(iterator, 3)))


def test_hosts_share_out_the_batch_of_a_single_one(good):
    whole = take(TrainingBatches(good, OPTIONS, batch_size=6, seed=3), 3)
    parts = [take(TrainingBatches(good, OPTIONS, batch_size=6, seed=3, shard=(host, 2)), 3) for host in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        merged = np.concatenate([share["clip"] for share in shares])
        np.testing.assert_array_equal(merged, batch["clip"])


def test_parts_of_a_batch_have_the_same_rows_for_any_number_of_hosts(good):
    def parts_of(hosts):
        streams = [
            TrainingBatches(good, OPTIONS, batch_size=12, seed=3, shard=(host, hosts), parts=3) for host in range(hosts)
        ]
        shares = [take(stream, 1)[0]["index"].reshape(3, -1) for stream in streams]
        return np.concatenate(shares, axis=1)

    np.testing.assert_array_equal(parts_of(2), parts_of(1))
    np.testing.assert_array_equal(parts_of(4), parts_of(1))


def test_a_broken_video_arrives_black_with_weight_zero_and_its_row(with_broken):
    (batch,) = take(TrainingBatches(with_broken, OPTIONS, batch_size=8, seed=0), 1)
    broken = batch["index"] == 7
    np.testing.assert_array_equal(batch["weight"], 1.0 - broken)
    assert not batch["clip"][broken].any()
    assert batch["label"][broken] == [with_broken.label_names.index("wave")]


@pytest.mark.fast_cases("0")
@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_a_clip_arrives_with_it(with_broken, video_folder, tmp_path, workers):
    options = ClipOptions(frames=2, size=8, repeats=2)
    (batch,) = take(TrainingBatches(with_broken, options, batch_size=8, seed=0, workers=workers), 1)
    broken = batch["index"] == 7
    assert (batch["failed"] == np.where(broken, with_broken[7].id, "")).all()
    assert all(reason.startswith("it is a text, not a video") for reason in batch["reason"][broken])
    assert not any(batch["reason"][~broken])

    video = video_folder / "v0.mp4"
    (tmp_path / "parts.csv").write_text(f"path,label,start,end\n{video},wave,100,110\n")
    parts = read_video_list(tmp_path / "parts.csv")
    (batch,) = take(TrainingBatches(parts, options, batch_size=1, seed=0, workers=workers), 1)
    assert all("no frame from 100 s to 110 s" in reason for reason in batch["reason"])


def test_a_clip_that_cannot_even_be_read_is_named_by_its_number(good):
    class Unreadable:
        name, label_names, fingerprint = "prepared:train", good.label_names, ""

        def __len__(self):
            return 2

        def __getitem__(self, row):
            raise UserError("the shard is gone")

    (batch,) = take(TrainingBatches(Unreadable(), OPTIONS, batch_size=2, seed=0), 1)
    assert sorted(batch["failed"]) == ["clip 0 of prepared:train", "clip 1 of prepared:train"]
    assert set(batch["reason"]) == {"the shard is gone"}


def test_flips_happen_only_where_asked(video_folder, good):
    plain = ClipOptions(frames=4, size=32, crop_scale=(1, 1), crop_ratio=(1, 1))
    flipping = ClipOptions(frames=4, size=32, crop_scale=(1, 1), crop_ratio=(1, 1), flip="on")

    def brighter_left(options):
        batches = take(TrainingBatches(good, options, batch_size=7, seed=0), 4)
        clips = np.concatenate([batch["clip"] for batch in batches]).astype(int)
        return clips[:, :, :12, :8].mean((1, 2, 3, 4)) > clips[:, :, :12, -8:].mean((1, 2, 3, 4))

    assert brighter_left(plain).all()
    assert 5 < brighter_left(flipping).sum() < 23


@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_clips_run_forward_through_their_video(good, numbers_of, sampling):
    options = ClipOptions(frames=4, size=32, sampling=sampling, stride=2, crop_scale=(1, 1), crop_ratio=(1, 1))
    for batch in take(TrainingBatches(good, options, batch_size=7, seed=0), 3):
        for clip, row in zip(batch["clip"], batch["index"], strict=True):
            numbers = numbers_of(clip)
            assert numbers == sorted(numbers)
            assert numbers[-1] < 5 + 3 * row
            if sampling == "dense" and row >= 1:
                assert np.diff(numbers).tolist() == [2, 2, 2]


def test_listed_frame_counts_stand_in_for_counting(video_folder, good, monkeypatch):
    counted = read_video_list(video_folder / "counted.csv")
    expected = take(TrainingBatches(good, OPTIONS, batch_size=7, seed=0), 1)
    monkeypatch.setattr(
        "motion_vit.data.sources.clip_source.count_frames", lambda video: pytest.fail("the list has the counts")
    )
    assert_same_batches(expected, take(TrainingBatches(counted, OPTIONS, batch_size=7, seed=0), 1))


def test_batches_do_not_depend_on_the_number_of_threads(good):
    full = ClipOptions(frames=4, size=16, flip="on", rand_augment="rand-m7-n4-mstd0.5-inc1", repeats=2)
    one, eight = (TrainingBatches(good, full, batch_size=4, seed=2, threads=threads) for threads in (1, 8))
    assert_same_batches(take(one, 6), take(eight, 6))


def test_the_stream_goes_on_at_the_same_video_with_another_number_of_hosts(good):
    whole = take(TrainingBatches(good, OPTIONS, batch_size=6, seed=3), 4)
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=6, seed=3)) as single:
        list(itertools.islice(single, 2))
        state = single.get_state()
    shares = []
    for host in range(3):
        with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=6, seed=3, shard=(host, 3))) as part:
            part.set_state(state)
            shares.append(list(itertools.islice(part, 2)))
    for batch, *parts in zip(whole[2:], *shares, strict=True):
        merged = np.concatenate([part["index"] for part in parts])
        np.testing.assert_array_equal(merged, batch["index"])


def test_the_state_is_one_position_with_the_seed_and_the_fingerprint_of_the_data(good, with_broken):
    with contextlib.closing(TrainingBatches(good, OPTIONS, batch_size=4, seed=5)) as stream:
        next(stream)
        state = stream.get_state()
        assert sorted(state) == ["fingerprint", "global_next_index", "seed"]
        assert state["global_next_index"] == 4
    for source, seed, message in (
        (with_broken, 5, "has changed since the run was started"),
        (good, 6, "started with seed 5"),
    ):
        with (
            contextlib.closing(TrainingBatches(source, OPTIONS, batch_size=4, seed=seed)) as other,
            pytest.raises(UserError, match=message),
        ):
            other.set_state(state)


def test_repeated_augmentation_cuts_a_video_several_ways_from_the_same_frames(good, numbers_of):
    options = ClipOptions(frames=4, size=32, crop_scale=(0.5, 1), repeats=3)
    (batch,) = take(TrainingBatches(good, options, batch_size=2, seed=0), 1)
    assert batch["clip"].shape == (6, 4, 32, 32, 3)
    assert batch["index"][0] == batch["index"][1] == batch["index"][2] != batch["index"][3]
    first = batch["clip"][:3]
    assert (first[0] != first[1]).any()
    assert numbers_of(first[0]) == numbers_of(first[1]) == numbers_of(first[2])


def test_every_repeat_of_a_broken_video_has_weight_zero(with_broken):
    (batch,) = take(TrainingBatches(with_broken, ClipOptions(frames=2, size=8, repeats=2), batch_size=8, seed=0), 1)
    np.testing.assert_array_equal(batch["weight"], 1.0 - (batch["index"] == 7))
    assert (batch["index"] == 7).sum() == 2


def test_a_label_aware_flip_changes_the_label_with_the_picture(video_folder):
    rows = "".join(f"v{n}.mp4,{label}\n" for n, label in enumerate(["go left", "go right", "stop"] * 2))
    (video_folder / "directions.csv").write_text("path,label\n" + rows)
    videos = read_video_list(video_folder / "directions.csv")
    options = ClipOptions(frames=4, size=32, crop_scale=(1, 1), crop_ratio=(1, 1), flip="label_aware")
    batches = take(TrainingBatches(videos, options, batch_size=6, seed=0), 6)
    clips, labels, rows = (np.concatenate([batch[name] for batch in batches]) for name in ("clip", "label", "index"))
    corners = clips.astype(int)
    flipped = corners[:, :, :12, :8].mean((1, 2, 3, 4)) < corners[:, :, :12, -8:].mean((1, 2, 3, 4))
    assert 8 < flipped.sum() < 28
    mirrored = np.array([1, 0, 2])
    np.testing.assert_array_equal(labels, np.where(flipped, mirrored[videos.labels[rows]], videos.labels[rows]))


def test_impossible_streams_are_user_errors(good):
    with pytest.raises(UserError, match="batch of 5 videos does not divide among 2 hosts"):
        TrainingBatches(good, OPTIONS, batch_size=5, seed=0, shard=(0, 2))
    with pytest.raises(UserError, match="batch_size is 0, but must be a whole number from 1"):
        TrainingBatches(good, OPTIONS, batch_size=0, seed=0)
    with pytest.raises(UserError, match="threads is -1, but must be"):
        TrainingBatches(good, OPTIONS, batch_size=1, seed=0, threads=-1)


def test_a_label_aware_flip_needs_names_that_say_left_or_right(good):
    with pytest.raises(UserError, match="no class whose name says left, right"):
        TrainingBatches(good, ClipOptions(frames=4, size=16, flip="label_aware"), batch_size=4, seed=0)


class CountedReads:
    """A source that counts how often it is read, over all processes."""

    def __init__(self, source, folder):
        self.source, self.folder = source, folder
        self.name, self.label_names, self.fingerprint = source.name, source.label_names, source.fingerprint

    def __len__(self):
        return len(self.source)

    def __getitem__(self, row):
        tempfile.NamedTemporaryFile(dir=self.folder, delete=False).close()
        return self.source[row]


@pytest.mark.fast_cases("0-1-2")
@pytest.mark.parametrize(("workers", "threads", "most"), [(0, 1, 2), (0, 8, 8), (1, 0, 4), (2, 0, 8)])
def test_no_more_batches_are_made_ahead_than_promised(good, tmp_path, workers, threads, most):
    counted = CountedReads(good, tmp_path)
    stream = TrainingBatches(counted, OPTIONS, batch_size=4, seed=0, workers=workers, threads=threads)
    with contextlib.closing(stream):
        next(stream)
        made = [0]
        while made[-1] < len(list(tmp_path.iterdir())) or made[-1] <= 4:  # until nothing is made any more
            made.append(len(list(tmp_path.iterdir())))
            time.sleep(0.3)
    assert 4 < made[-1] <= 4 * (1 + most)


def read_in_threads(videos):
    with contextlib.closing(TrainingBatches(videos, OPTIONS, batch_size=4, seed=0, threads=2)) as stream:
        next(stream)


@pytest.mark.slow
def test_a_stream_is_read_in_threads_of_a_process_that_another_started(good):
    process = multiprocessing.get_context("spawn").Process(target=read_in_threads, args=(good,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
