"""The runs of a comparison, one after the other or side by side."""

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
    """Finishes runs, several at a time; after a signal those under way save, and no other begins.

    Small models leave cores idle, which as many runs with one core each do not. Every run has a process of its own: one
    that the system ends for its memory takes no other along. The second Ctrl-C ends them at once.

    Args:
      runs: the runs, in the order in which they are begun.
      jobs: how many at a time; 1 takes them in this process.

    Yields:
      Every run with its result, as soon as it ends; with the error of one that failed, after which the others still
      have their turn; or with None, if a signal stopped it or kept it from beginning.
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
