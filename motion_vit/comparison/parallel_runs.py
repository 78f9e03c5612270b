"""Finishes the runs of a comparison, one after the other or side by side."""

import collections
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.run_process import RunProcess
from motion_vit.comparison.run_result import RunResult
from motion_vit.errors import UserError
from motion_vit.training.loop.stop_request import StopRequest

Outcome = tuple[ComparisonRun, RunResult | UserError | None]

_SECONDS_BETWEEN_LOOKS = 0.5


def finish_runs(runs: Sequence[ComparisonRun], jobs: int) -> Generator[Outcome, None, None]:
    """Finishes runs, several at a time. After a signal, active runs save and stop, and no other starts.

    Small models leave cores idle, so several runs with a share of the cores each are faster. Every run has its own
    process: if the system kills one for its memory, the others go on. A second Ctrl-C kills all of them.

    Args:
      runs: in the order in which they start.
      jobs: parallel runs; 1 runs them in this process.

    Yields:
      Every run with its outcome as soon as it ends: the result; the error of a failed run, after which the others
      continue; or None, if a signal stopped it or kept it from starting.
    """
    with StopRequest() as stop:
        yield from _in_turn(runs, stop) if jobs == 1 else _side_by_side(runs, jobs, stop)


def _in_turn(runs: Sequence[ComparisonRun], stop: StopRequest) -> Generator[Outcome, None, None]:
    is_stopped = False
    for run in runs:
        outcome = None if is_stopped or stop.reached() else run.finish()
        is_stopped = is_stopped or outcome is None
        yield run, outcome


def _side_by_side(runs: Sequence[ComparisonRun], jobs: int, stop: StopRequest) -> Generator[Outcome, None, None]:
    waiting = collections.deque(runs)
    processes: list[RunProcess] = []
    is_stopped = False
    try:
        while waiting or processes:
            if stop.reached() and not is_stopped:
                print("stopping: the runs under way save first; Ctrl-C again ends them at once", flush=True)
                is_stopped = True
                _stop(processes)
            while waiting and len(processes) < jobs and not is_stopped:
                share = min(set(range(jobs)) - {process.share for process in processes})
                processes.append(RunProcess(waiting.popleft(), share, jobs))
            while waiting and is_stopped:
                yield waiting.popleft(), None
            ready = wait([process.connection for process in processes], _SECONDS_BETWEEN_LOOKS)
            for process in [process for process in processes if process.connection in ready]:
                outcome = process.outcome()
                processes.remove(process)
                if outcome is None and not is_stopped:  # a signal that reached it alone
                    is_stopped = True
                    _stop(processes)
                yield process.run, outcome
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise
    finally:
        _stop(processes)
        for process in processes:
            process.outcome()


def _stop(processes: Sequence[RunProcess]) -> None:
    for process in processes:
        process.stop()
