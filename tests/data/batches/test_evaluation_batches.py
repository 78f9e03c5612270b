"""Evaluation batches: every view of every clip once, on any number of hosts, with the last batch padded."""

import contextlib
import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views, evaluation_batches
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.errors import UserError

OPTIONS = ClipOptions(frames=4, size=16)
# A crop of the whole height, which keeps the brightness of the numbered corner of a frame where it can be read.
CENTRED = ClipOptions(frames=4, size=32)


def take(dataset, count):
    with contextlib.closing(iter(dataset)) as iterator:
        return list(itertools.islice(iterator, count))


@pytest.fixture(scope="module")
def good(video_folder):
    return read_video_list(video_folder / "good.csv")


@pytest.fixture(scope="module")
def with_broken(video_folder):
    return read_video_list(video_folder / "all.csv")


@pytest.mark.fast_cases("0")
@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_shows_every_view_of_every_video_once_in_order(with_broken, workers):
    dataset = evaluation_batches(with_broken, OPTIONS, batch_size=7, clips=2, crops=3, workers=workers)
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
        "seconds": np.float32,
    }
    assert (merged["seconds"][:42] > 0).all()
    for row in range(7):
        views = clip_views(with_broken[row], OPTIONS, clips=2, crops=3)
        np.testing.assert_array_equal(merged["clip"][row * 6 : row * 6 + 6], views)


def test_hosts_evaluate_disjoint_videos_in_equally_many_batches(good):
    shares = [take(evaluation_batches(good, OPTIONS, batch_size=2, shard=(host, 3)), None) for host in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]
    rows = sorted(int(row) for share in shares for batch in share for row in batch["index"] if row >= 0)
    assert rows == list(range(7))
    assert all((batch["weight"] == (batch["index"] >= 0)).all() for share in shares for batch in share)


def test_control_orders_change_only_the_order_of_the_frames(good, numbers_of):
    clip = good[6]  # 23 frames
    normal = numbers_of(clip_views(clip, CENTRED)[0])
    assert normal == [2, 8, 13, 18]
    assert numbers_of(clip_views(clip, CENTRED, frame_order="reversed")[0]) == normal[::-1]
    assert numbers_of(clip_views(clip, CENTRED, frame_order="frozen")[0]) == [13] * 4
    shuffled = {tuple(numbers_of(clip_views(clip, CENTRED, frame_order="shuffled", seed=s)[0])) for s in range(9)}
    assert {tuple(sorted(order)) for order in shuffled} == {tuple(normal)}
    assert len(shuffled) > 4


def test_impossible_evaluations_are_user_errors(good):
    with pytest.raises(UserError, match="workers is -1, but must be"):
        evaluation_batches(good, OPTIONS, batch_size=1, workers=-1)
    with pytest.raises(UserError, match="shard"):
        evaluation_batches(good, OPTIONS, batch_size=1, shard=(2, 2))
    with pytest.raises(UserError, match="crops is 2, but must be one of 1, 3"):
        evaluation_batches(good, OPTIONS, batch_size=1, crops=2)
    with pytest.raises(UserError, match="frame_order must be one of normal, frozen"):
        evaluation_batches(good, OPTIONS, batch_size=1, frame_order="backwards")


@pytest.mark.slow
def test_a_script_with_worker_processes_ends_without_a_word(video_folder):
    script = f"""
import contextlib
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.video_list import read_video_list

def main():
    global stream
    videos, options = read_video_list({str(video_folder / "all.csv")!r}), ClipOptions(frames=2, size=8)
    stream = TrainingBatches(videos, options, batch_size=2, seed=0, workers=1)  # kept until Python ends
    with contextlib.closing(stream):
        for _ in range(3):
            next(stream)
    for _ in evaluation_batches(videos, options, batch_size=4, workers=1):
        pass

if __name__ == "__main__":
    main()
"""
    path = video_folder / "run_quietly.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_extra_frame_is_delivered_with_every_view(good):
    options = ClipOptions(frames=4, extra_frames=1, size=16)
    (batch,) = take(evaluation_batches(good, options, batch_size=7), None)
    assert batch["clip"].shape == (7, 5, 16, 16, 3)


def test_a_part_of_a_video_is_evaluated_as_if_it_were_the_whole(good, numbers_of):
    whole = good[6]  # 23 frames
    part = dataclasses.replace(whole, first_frame=10, frames=8)
    options = ClipOptions(frames=4, size=32, sampling="dense", stride=2)
    assert numbers_of(clip_views(part, options)[0]) == [10, 12, 14, 16]
