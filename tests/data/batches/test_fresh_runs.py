"""The same stream in processes of their own, whatever the number of threads and workers, and after a stop."""

import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import contextlib, hashlib, json, sys
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.video_list import read_video_list

def main(source, workers, threads, batches, state):
    options = ClipOptions(frames=4, size=16, flip="on", rand_augment="rand-m7-n4-mstd0.5-inc1", repeats=2)
    stream = TrainingBatches(
        read_video_list(source), options, batch_size=4, seed=7, workers=int(workers), threads=int(threads)
    )
    with contextlib.closing(stream):
        if state:
            stream.set_state(json.loads(state))
        for _ in range(int(batches)):
            batch = next(stream)
            digest = hashlib.sha256()
            for name in sorted(batch):
                digest.update(name.encode() + batch[name].tobytes())
            print(digest.hexdigest())
        print(json.dumps(stream.get_state()))

if __name__ == "__main__":
    main(*sys.argv[1:])
"""
BATCHES = 9


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("scripts") / "stream.py"
    path.write_text(SCRIPT)
    return path


def run(
    script: pathlib.Path, folder: pathlib.Path, workers: int, threads: int, batches: int, state: str = ""
) -> tuple[list[str], str]:
    """The hashes of the batches of a fresh process, and its last state."""
    arguments = [str(folder / "all.csv"), str(workers), str(threads), str(batches), state]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    *hashes, last = done.stdout.splitlines()
    return hashes, last


@pytest.fixture(scope="module")
def reference(script: pathlib.Path, video_folder: pathlib.Path) -> list[str]:
    hashes, _ = run(script, video_folder, 0, 1, BATCHES)
    assert len(set(hashes)) == BATCHES
    return hashes


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "threads"), [(0, 8), (1, 0), (2, 0)])
def test_a_fresh_process_gives_the_same_batches_with_any_threads_and_workers(
    script: pathlib.Path, video_folder: pathlib.Path, reference: list[str], workers: int, threads: int
) -> None:
    assert run(script, video_folder, workers, threads, BATCHES)[0] == reference


@pytest.mark.slow
def test_a_stream_stopped_anywhere_goes_on_with_another_number_of_workers(
    script: pathlib.Path, video_folder: pathlib.Path, reference: list[str]
) -> None:
    # A place that nobody chose, but the same in every run.
    seed = int(hashlib.sha256(reference[0].encode()).hexdigest()[:8], 16)
    stop = int(np.random.default_rng(seed).integers(1, BATCHES))
    before, state = run(script, video_folder, 2, 0, stop)
    assert json.loads(state)["global_next_index"] == 4 * stop
    after, _ = run(script, video_folder, 1, 0, BATCHES - stop, state)
    assert before + after == reference
