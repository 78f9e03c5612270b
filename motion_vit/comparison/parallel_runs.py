"""Runs side by side in processes of their own, each with its share of the cores."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.run_result import RunResult
from motion_vit.training.compilation_cache import enable_compilation_cache


def finish_runs(runs: Sequence[ComparisonRun], jobs: int) -> Iterator[tuple[ComparisonRun, RunResult | None]]:
    """Finishes runs, several at a time.

    Small models leave cores idle, which as many runs with one core each do not.

    Args:
      runs: the runs, in the order in which they are begun.
      jobs: how many at a time; 1 takes them in this process.

    Yields:
      A run and its result, as soon as it ends; None as the result of one that a signal stopped.

    Raises:
      UserError: of a run; those that have begun are let end.
    """
    if jobs == 1:
        yield from ((run, run.finish()) for run in runs)
        return
    # Spawned, not forked: a fork of a process in which JAX already runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, _start_process, (context.Value("i", 0), jobs))
    try:
        futures = {pool.submit(run.finish): run for run in runs}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process(counter: Any, jobs: int) -> None:
    """Confines a process to its share of the cores, before JAX counts them, and shares what the others compile."""
    enable_compilation_cache()
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(cores[number % jobs :: jobs]) or set(cores))
