"""The entries of a batch of clips, and Grain's reader options.

A batch is a dictionary of numpy arrays:

* `clip` uint8 `[B, T, H, W, 3]`, RGB;
* `label` int32 `[B]`;
* `weight` float32 `[B]`, 0.0 for a clip that cannot be decoded and for the padding of the last evaluation batch;
* `index` int32 `[B]`, the row of the clip in its source, -1 for padding;
* `view` int32 `[B]` in evaluation, from 0 to clips * crops - 1 with the crop changing fastest;
* `seconds` float32 `[B]` in evaluation: how long decoding all views of the video took;
* `failed` and `reason`, text `[B]`, in training: the name of a clip that cannot be decoded and what is wrong with it,
  "" for the others.
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import grain
import numpy as np
from absl import flags

from motion_vit.data.batches.batch_ranges import BATCH_SIZE, THREADS, WORKERS
from motion_vit.data.workers.cores import available_cores
from motion_vit.data.workers.worker_process import settle_worker
from motion_vit.errors import UserError
from motion_vit.ranges import problems

Batch = dict[str, np.ndarray]
Example = dict[str, Any]

# Batches in the queue of each worker process. With those it works on and those on their way, Grain holds four for each.
_READY_IN_WORKER = 1
# Without worker processes, batches that are ready or being made, at least and for each thread.
_READY_AT_LEAST = 2
# More threads than this get in each other's way in one Python process; worker processes go further.
_MOST_THREADS = 16


def example(label: int, row: int, clip: np.ndarray | None, empty_shape: tuple[int, ...]) -> Example:
    """Makes one clip's entry of a batch.

    Args:
      label: its class.
      row: its row in the source.
      clip: its frames, or None if it cannot be decoded.
      empty_shape: the shape of the black frames that stand for None.

    Returns:
      The entry.
    """
    return example_of_views(label, row, None if clip is None else {"clip": clip}, ("clip",), empty_shape)


def example_of_views(
    label: int,
    row: int,
    views: Mapping[str, np.ndarray] | None,
    names: Sequence[str],
    empty_shape: tuple[int, ...],
) -> Example:
    """Makes one clip's entry of a batch that has several views of it.

    Args:
      label: its class.
      row: its row in the source.
      views: its frames in each view, or None if it cannot be decoded.
      names: of the views.
      empty_shape: the shape of the black frames that stand for a view.

    Returns:
      The entry.
    """
    return {
        **{name: np.zeros(empty_shape, np.uint8) if views is None else views[name] for name in names},
        "label": np.int32(label),
        "weight": np.float32(views is not None),
        "index": np.int32(row),
    }


def padding(shape: tuple[int, ...]) -> Example:
    """Makes a padding entry, with weight 0.

    Args:
      shape: shape of its black frames.

    Returns:
      The entry.
    """
    return example(0, -1, None, shape)


def settle_reader() -> None:
    """Sets up a thread or worker process that makes batches.

    Switches off OpenCV's own threads in this process: threads and workers share the cores already.
    """
    cv2.setNumThreads(1)
    settle_worker()


def default_threads() -> int:
    """Returns the number of threads that decode where none is chosen: as many as cores, up to a number."""
    return min(available_cores(), _MOST_THREADS)


def read_options(workers: int, threads: int) -> grain.ReadOptions:
    """Sets threads and buffers of a reading process explicitly: Grain's defaults hold 500 batches in memory.

    Args:
      workers: worker processes; each reads in its only thread, its queue holds what is ready.
      threads: threads of this process where there are no workers; 0 for as many as cores.

    Returns:
      The options.
    """
    if workers:
        return grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    count = threads or default_threads()
    return grain.ReadOptions(num_threads=count, prefetch_buffer_size=max(count, _READY_AT_LEAST))


def process_options(workers: int) -> grain.MultiprocessingOptions:
    """Returns Grain's options for a number of worker processes.

    Args:
      workers: number of processes.

    Returns:
      The options.
    """
    if workers and not flags.FLAGS.is_parsed():
        # Grain asks its absl flags before it starts a process, and nothing parses them in a notebook or our command.
        flags.FLAGS.mark_as_parsed()
    return grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_READY_IN_WORKER)


def check_sizes(
    batch_size: int, workers: int, threads: int, shard: tuple[int, int], *, clips: int, shape: tuple[int, ...]
) -> None:
    """Checks the sizes of a stream of batches.

    Args:
      batch_size: clips or videos of a batch.
      workers: number of worker processes.
      threads: number of reading threads.
      shard: this host's number and the number of hosts.
      clips: clips that this host holds at once, at the least.
      shape: shape of a clip.

    Raises:
      UserError: one of them is out of range, or the clips are larger than the memory of this machine.
    """
    sizes = {"batch_size": batch_size, "workers": workers, "threads": threads}
    if found := problems(sizes, {"batch_size": BATCH_SIZE, "workers": WORKERS, "threads": THREADS}):
        raise UserError(f"{found[0]}.")
    if not 0 <= shard[0] < shard[1]:
        raise UserError(f"the shard must be a host's number and the number of hosts; given {shard}")
    size, memory = clips * math.prod(shape), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise UserError(
            f"{clips} clips of {shape[0]} frames of {shape[1]} x {shape[2]} pixels are {size:.2g} bytes, but this "
            f"machine has {memory:.2g} bytes of memory. Choose a smaller batch, smaller clips or fewer of them."
        )
