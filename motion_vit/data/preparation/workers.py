"""Writes shards in parallel processes, which end on request or when their parent dies."""

import concurrent.futures
import math
import multiprocessing
import multiprocessing.connection
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from motion_vit.data.preparation.shard import Shard, ShardTask, write_shard
from motion_vit.data.workers.cores import available_cores
from motion_vit.data.workers.worker_process import settle_worker
from motion_vit.errors import UserError

# A worker process takes about a second to start: fewer clips are not worth it.
_CLIPS_A_WORKER = 200
_PROGRESS_SECONDS = 0.2


class _Stopped(Exception):
    """Stops the writing of a shard that is no longer needed."""


class _WorkerState:
    """State that a worker shares with its parent."""

    stop: Event
    good: "Synchronized[int]"
    bad: "Synchronized[int]"


def _start_worker(stop: Event, good: "Synchronized[int]", bad: "Synchronized[int]") -> None:
    _WorkerState.stop, _WorkerState.good, _WorkerState.bad = stop, good, bad
    settle_worker()


def _on_clip(good: bool) -> None:
    counter = _WorkerState.good if good else _WorkerState.bad
    with counter.get_lock():
        counter.value += 1
    if _WorkerState.stop.is_set():
        raise _Stopped


def _write(task: ShardTask) -> Shard:
    return write_shard(task, _on_clip)


def choose_workers(tasks: Sequence[ShardTask]) -> int:
    """Chooses the number of processes for shards.

    Args:
      tasks: the shards that are to be written.

    Returns:
      As many as this process may use cores, fewer for few clips.
    """
    clips = sum(len(task.clips) for task in tasks)
    return max(1, min(available_cores(), len(tasks), math.ceil(clips / _CLIPS_A_WORKER)))


def write_shards(
    tasks: Sequence[ShardTask], workers: int, on_progress: Callable[[int, int], None]
) -> Generator[tuple[ShardTask, Shard], None, None]:
    """Writes shards in this process, or in several.

    Args:
      tasks: in the order in which they are started.
      workers: processes; 1 for this one.
      on_progress: called now and then with the numbers of good and bad clips so far.

    Yields:
      Shards and their results, in the order in which they finish.

    Raises:
      OutputError: the folder cannot be written.
      UserError: a worker process died.
    """
    if workers <= 1:
        yield from _write_here(tasks, on_progress)
        return
    # A fork of a process in which JAX or FFmpeg have started threads can hang: fresh processes cannot.
    context = multiprocessing.get_context("spawn")
    stop, good, bad = context.Event(), context.Value("q", 0), context.Value("q", 0)
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_start_worker, initargs=(stop, good, bad)
    )
    try:
        futures = {pool.submit(_write, task): task for task in tasks}
        pending = set(futures)
        while pending:
            finished, pending = concurrent.futures.wait(
                pending, _PROGRESS_SECONDS, return_when=concurrent.futures.FIRST_COMPLETED
            )
            on_progress(good.value, bad.value)
            for future in finished:
                yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died: the system may have killed it because memory ran out, or a video may have crashed "
            "its decoder. The shards that are finished are kept: run the same command again with fewer --workers. (In "
            'a script of your own, call it below `if __name__ == "__main__":`, as workers import the script.)'
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _write_here(
    tasks: Sequence[ShardTask], on_progress: Callable[[int, int], None]
) -> Generator[tuple[ShardTask, Shard], None, None]:
    counts = {True: 0, False: 0}

    def on_clip(good: bool) -> None:
        counts[good] += 1
        on_progress(counts[True], counts[False])

    for task in tasks:
        yield task, write_shard(task, on_clip)
