"""Batches: their contents, their determinism over workers, hosts and interruptions, and broken videos."""

import contextlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from motion_vit.data.pipeline import ClipOptions, evaluation_dataset, training_dataset, video_views
from motion_vit.data.video_list import read_video_list
from motion_vit.errors import UserError

OPTIONS = ClipOptions(frames=4, size=16)
# A crop of the whole height, which keeps the brightness of the numbered corner of a frame where it can be read.
CENTRED = ClipOptions(frames=4, size=32)


def take(dataset, count):
    with contextlib.closing(iter(dataset)) as iterator:
        return list(itertools.islice(iterator, count))


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
    (batch,) = take(training_dataset(good, OPTIONS, batch_size=6, seed=0), 1)
    kinds = {name: (array.shape, array.dtype) for name, array in batch.items()}
    assert kinds == {
        "clip": ((6, 4, 16, 16, 3), np.uint8),
        "label": ((6,), np.int32),
        "weight": ((6,), np.float32),
        "index": ((6,), np.int32),
    }
    np.testing.assert_array_equal(batch["label"], good.labels[batch["index"]])
    assert (batch["weight"] == 1).all()
    assert batch["clip"].any((1, 2, 3, 4)).all()


def test_every_epoch_has_every_video_once_in_a_new_order(good):
    rows = np.concatenate([batch["index"] for batch in take(training_dataset(good, OPTIONS, batch_size=3, seed=0), 7)])
    epochs = rows.reshape(3, 7)
    assert (np.sort(epochs, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_same_video_is_cut_differently_in_every_epoch(good):
    batches = take(training_dataset(good, OPTIONS, batch_size=7, seed=0), 2)
    first, second = (batch["clip"][np.argsort(batch["index"])] for batch in batches)
    assert all((one != other).any() for one, other in zip(first[3:], second[3:], strict=True))


def test_batches_depend_on_the_seed_alone(good):
    reference = take(training_dataset(good, OPTIONS, batch_size=4, seed=5), 4)
    assert_same_batches(reference, take(training_dataset(good, OPTIONS, batch_size=4, seed=5), 4))
    other = take(training_dataset(good, OPTIONS, batch_size=4, seed=6), 4)
    assert any((one["index"] != two["index"]).any() for one, two in zip(reference, other, strict=True))


def test_worker_processes_give_the_batches_of_none_and_resume_each_others_state(good):
    reference = take(training_dataset(good, OPTIONS, batch_size=4, seed=5), 8)
    with contextlib.closing(iter(training_dataset(good, OPTIONS, batch_size=4, seed=5, workers=2))) as iterator:
        assert_same_batches(reference[:5], list(itertools.islice(iterator, 5)))
        state = json.loads(json.dumps(iterator.get_state()))
    with contextlib.closing(iter(training_dataset(good, OPTIONS, batch_size=4, seed=5))) as resumed:
        resumed.set_state(state)
        assert_same_batches(reference[5:], list(itertools.islice(resumed, 3)))


def test_an_iterator_goes_back_to_a_state_it_has_passed(good):
    with contextlib.closing(iter(training_dataset(good, OPTIONS, batch_size=4, seed=1))) as iterator:
        next(iterator)
        state = iterator.get_state()
        passed = list(itertools.islice(iterator, 3))
        iterator.set_state(state)
        assert_same_batches(passed, list(itertools.islice(iterator, 3)))


def test_hosts_share_out_the_batch_of_a_single_one(good):
    whole = take(training_dataset(good, OPTIONS, batch_size=6, seed=3), 3)
    parts = [take(training_dataset(good, OPTIONS, batch_size=6, seed=3, shard=(host, 2)), 3) for host in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        merged = np.stack([share["clip"] for share in shares], axis=1).reshape(batch["clip"].shape)
        np.testing.assert_array_equal(merged, batch["clip"])


def test_a_broken_video_arrives_black_with_weight_zero_and_its_row(with_broken):
    (batch,) = take(training_dataset(with_broken, OPTIONS, batch_size=8, seed=0), 1)
    broken = batch["index"] == 7
    np.testing.assert_array_equal(batch["weight"], 1.0 - broken)
    assert not batch["clip"][broken].any()
    assert batch["label"][broken] == [with_broken.label_names.index("wave")]


def test_flips_happen_only_where_asked(video_folder, good):
    plain = ClipOptions(frames=4, size=32, crop_scale=(1, 1), crop_ratio=(1, 1))
    flipping = ClipOptions(frames=4, size=32, crop_scale=(1, 1), crop_ratio=(1, 1), flip=True)

    def brighter_left(options):
        batches = take(training_dataset(good, options, batch_size=7, seed=0), 4)
        clips = np.concatenate([batch["clip"] for batch in batches]).astype(int)
        return clips[:, :, :12, :8].mean((1, 2, 3, 4)) > clips[:, :, :12, -8:].mean((1, 2, 3, 4))

    assert brighter_left(plain).all()
    assert 5 < brighter_left(flipping).sum() < 23


@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_clips_run_forward_through_their_video(good, numbers_of, sampling):
    options = ClipOptions(frames=4, size=32, sampling=sampling, stride=2, crop_scale=(1, 1), crop_ratio=(1, 1))
    for batch in take(training_dataset(good, options, batch_size=7, seed=0), 3):
        for clip, row in zip(batch["clip"], batch["index"], strict=True):
            numbers = numbers_of(clip)
            assert numbers == sorted(numbers)
            assert numbers[-1] < 5 + 3 * row
            if sampling == "dense" and row >= 1:
                assert np.diff(numbers).tolist() == [2, 2, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_shows_every_view_of_every_video_once_in_order(with_broken, workers):
    dataset = evaluation_dataset(with_broken, OPTIONS, batch_size=7, clips=2, crops=3, workers=workers)
    batches = take(dataset, None)
    assert [batch["clip"].shape for batch in batches] == [(7, 4, 16, 16, 3)] * 7
    merged = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    np.testing.assert_array_equal(merged["index"], [*np.repeat(np.arange(8), 6), -1])
    np.testing.assert_array_equal(merged["view"], [*np.tile(np.arange(6), 8), 0])
    np.testing.assert_array_equal(merged["weight"], [1] * 42 + [0] * 7)
    np.testing.assert_array_equal(merged["label"][:48], np.repeat(with_broken.labels, 6))
    assert {name: array.dtype for name, array in merged.items()} == {
        "clip": np.uint8,
        "label": np.int32,
        "weight": np.float32,
        "index": np.int32,
        "view": np.int32,
    }
    for row in range(7):
        views = video_views(with_broken.paths[row], OPTIONS, clips=2, crops=3)
        np.testing.assert_array_equal(merged["clip"][row * 6 : row * 6 + 6], views)


def test_hosts_evaluate_disjoint_videos_in_equally_many_batches(good):
    shares = [take(evaluation_dataset(good, OPTIONS, batch_size=2, shard=(host, 3)), None) for host in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]
    rows = sorted(int(row) for share in shares for batch in share for row in batch["index"] if row >= 0)
    assert rows == list(range(7))
    assert all((batch["weight"] == (batch["index"] >= 0)).all() for share in shares for batch in share)


def test_control_orders_change_only_the_order_of_the_frames(good, numbers_of):
    path = good.paths[6]  # 23 frames
    normal = numbers_of(video_views(path, CENTRED)[0])
    assert normal == [2, 8, 13, 18]
    assert numbers_of(video_views(path, CENTRED, frame_order="reversed")[0]) == normal[::-1]
    assert numbers_of(video_views(path, CENTRED, frame_order="frozen")[0]) == [13] * 4
    shuffled = {tuple(numbers_of(video_views(path, CENTRED, frame_order="shuffled", seed=s)[0])) for s in range(9)}
    assert {tuple(sorted(order)) for order in shuffled} == {tuple(normal)}
    assert len(shuffled) > 4


def test_listed_frame_counts_stand_in_for_counting(video_folder, good, monkeypatch):
    counted = read_video_list(video_folder / "counted.csv")
    expected = take(training_dataset(good, OPTIONS, batch_size=7, seed=0), 1)
    monkeypatch.setattr("motion_vit.data.pipeline.count_frames", lambda path: pytest.fail("the list has the counts"))
    assert_same_batches(expected, take(training_dataset(counted, OPTIONS, batch_size=7, seed=0), 1))
    take(evaluation_dataset(counted, OPTIONS, batch_size=7), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames must be at least 1; given 0"),
        ({"size": -3}, "size must be at least 1"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"sampling": "sparse"}, "segment or dense; given 'sparse'"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale must be two numbers"),
        ({"crop_scale": (0.5, 1.2)}, "crop_scale is a share"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio must be two numbers"),
    ],
)
def test_impossible_clip_options_are_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        ClipOptions(**arguments)


def test_impossible_datasets_are_user_errors(good):
    with pytest.raises(UserError, match="batch of 5 clips does not divide among 2 hosts"):
        training_dataset(good, OPTIONS, batch_size=5, seed=0, shard=(0, 2))
    with pytest.raises(UserError, match="batch size must be at least 1"):
        training_dataset(good, OPTIONS, batch_size=0, seed=0)
    with pytest.raises(UserError, match="workers must be at least 0"):
        evaluation_dataset(good, OPTIONS, batch_size=1, workers=-1)
    with pytest.raises(UserError, match="shard"):
        evaluation_dataset(good, OPTIONS, batch_size=1, shard=(2, 2))
    with pytest.raises(UserError, match="1 or 3 crops; given 1 clips and 2 crops"):
        evaluation_dataset(good, OPTIONS, batch_size=1, crops=2)
    with pytest.raises(UserError, match="frame_order must be one of normal, frozen"):
        evaluation_dataset(good, OPTIONS, batch_size=1, frame_order="backwards")


def test_a_script_with_worker_processes_ends_without_a_word(video_folder):
    script = f"""
import contextlib
from motion_vit.data.pipeline import ClipOptions, evaluation_dataset, training_dataset
from motion_vit.data.video_list import read_video_list

def main():
    videos, options = read_video_list({str(video_folder / "all.csv")!r}), ClipOptions(frames=2, size=8)
    with contextlib.closing(iter(training_dataset(videos, options, batch_size=2, seed=0, workers=1))) as stream:
        for _ in range(3):
            next(stream)
    for _ in evaluation_dataset(videos, options, batch_size=4, workers=1):
        pass

if __name__ == "__main__":
    main()
"""
    path = video_folder / "run_quietly.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
