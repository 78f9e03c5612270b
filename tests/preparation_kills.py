"""Kills a small preparation again and again, and compares where it ends with one that was left alone.

    python tests/preparation_kills.py [--kills 20] [--seed 0] [--workdir DIR]

SIGKILL, at moments drawn from the seed: while the command starts, and while it writes shards. What is finished is kept:
no life of the preparation may find fewer shards than the one before has left. At the end every file of the prepared
folder must be that of the undisturbed one, byte for byte. Exit status 0 if so. Takes a few seconds a kill.
"""

import argparse
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from motion_vit.data.embedded.dataset import render_dataset

# Of the kills, this share comes at any time after the start; the others shortly after a shard that is drawn.
_AT_ANY_TIME = 0.3
_STARTING_SECONDS = 3.0
# About as long as a shard takes.
_SHARD_SECONDS = 0.1
_SHARDS_OF_A_LIFE = 2
_WAIT_SECONDS = 120.0

_PROGRAM = """
import sys
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
if __name__ == "__main__":
    source = read_dataset("list", sys.argv[1], {"validation_share": 0.0})
    prepare_dataset(source, sys.argv[2], codec="h264-fast", workers=int(sys.argv[3]), clips_per_shard=1, progress=False)
"""


def kill_preparations(workdir: pathlib.Path, kills: int, seed: int) -> str:
    """Does it.

    Args:
      workdir: an empty folder, for the videos and the two prepared folders.
      kills: how often.
      seed: of the moments, and of whether one or two worker processes write.

    Returns:
      What happened, in a line.

    Raises:
      AssertionError: a life ends otherwise than it should, loses finished shards, or the files differ.
    """
    draw = random.Random(seed)
    clips = kills * (_SHARDS_OF_A_LIFE + 2) + 4
    videos = render_dataset(
        workdir / "videos", splits={"train": clips}, size=32, frames=(6, 8), workers=1, progress=False
    )["train"]
    undisturbed, prepared = workdir / "undisturbed", workdir / "prepared"
    assert _start(videos, undisturbed, 1).wait(_WAIT_SECONDS) == 0, "the undisturbed preparation fails"
    left = during = 0
    for number in range(kills):
        process = _start(videos, prepared, draw.choice([1, 2]))
        if draw.random() < _AT_ANY_TIME:
            time.sleep(draw.uniform(0, _STARTING_SECONDS))
        else:
            _wait_for_shards(prepared, left + draw.randint(1, _SHARDS_OF_A_LIFE), process)
            time.sleep(draw.uniform(0, _SHARD_SECONDS))
        process.kill()
        status = process.wait()
        assert status in (-signal.SIGKILL, 0), f"kill {number + 1}: ended with {status}"
        during += status != 0
        assert _finished(prepared) >= left, f"kill {number + 1}: finished shards are gone"
        left = _finished(prepared)
        print(f"kill {number + 1}: {left} of {clips} shards are finished", flush=True)
    assert _start(videos, prepared, 1).wait(_WAIT_SECONDS) == 0, "the last life of the preparation fails"
    assert files_below(prepared) == files_below(undisturbed), "the prepared folders differ"
    return f"{kills} times SIGKILL, {during} before the end; all {clips} shards and other files are the same"


def files_below(folder: pathlib.Path) -> dict[str, bytes]:
    """Reads every file below a folder.

    Args:
      folder: what to read.

    Returns:
      Relative path -> content.
    """
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _start(videos: pathlib.Path, out: pathlib.Path, workers: int) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-c", _PROGRAM, str(videos), str(out), str(workers)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _finished(out: pathlib.Path) -> int:
    return len(list((out / ".shards").glob("*.array_record-*.json")))


def _wait_for_shards(out: pathlib.Path, count: int, process: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + _WAIT_SECONDS
    while _finished(out) < count and process.poll() is None:
        assert time.monotonic() < limit, f"{count} shards are waited for in vain"
        time.sleep(0.005)


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=pathlib.Path, default=None, help="kept; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workdir = options.workdir or pathlib.Path(temporary)
        workdir.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        print(kill_preparations(workdir, options.kills, options.seed))
        print(f"took {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
