"""Finishes many runs in a folder that no other command writes into meanwhile, and keeps a report of them."""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import jax

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.parallel_runs import finish_runs
from motion_vit.comparison.run_result import RunResult
from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.files.folder_lock import locked_folder
from motion_vit.training.logs.progress import duration


@runtime_checkable
class ResultsReport(Protocol):
    """A report of the results that lie in the folders of runs."""

    def renew(self) -> None:
        """Writes its files anew."""
        ...

    def show(self) -> None:
        """Prints its tables."""
        ...


def check_jobs(jobs: int) -> None:
    """Checks that so many runs can go on at a time.

    Args:
      jobs: processes.

    Raises:
      UserError: there are several, and they would share an accelerator.
    """
    if jobs > 1 and jax.default_backend() != "cpu":
        raise UserError(
            f"{jobs} jobs were asked for, but several processes cannot share the memory of a {jax.default_backend()}. "
            "Take one job, or JAX_PLATFORMS=cpu for models that are small enough."
        )


@contextlib.contextmanager
def locked_results(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder of many runs, and keeps other commands out of it.

    Args:
      workdir: the folder.

    Raises:
      UserError: it cannot be written, or another command is at work in it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = contextlib.ExitStack()
        lock.enter_context(locked_folder(workdir, "comparing"))
    except OSError as error:
        raise UserError(
            f"the workdir {workdir} cannot be written: {error.strerror}. Check the free space and the permissions, or "
            "give another --workdir."
        ) from error
    with lock:
        yield


def finish_all(runs: Sequence[ComparisonRun], jobs: int, report: ResultsReport) -> bool:
    """Finishes the unfinished runs, and renews the report after each.

    Args:
      runs: in the order in which they start.
      jobs: parallel runs.
      report: of their results.

    Returns:
      False if a signal stopped them.

    Raises:
      UserError: runs failed; it is raised after the others have finished.
    """
    unfinished = [run for run in runs if run.known_result() is None]
    report.renew()
    started, finished, is_stopped = time.perf_counter(), len(runs) - len(unfinished), False
    failures: list[UserError] = []
    with contextlib.closing(finish_runs(unfinished, jobs)) as outcomes:
        for run, outcome in outcomes:
            if isinstance(outcome, RunResult):
                report.renew()
                finished += 1
                elapsed = duration(time.perf_counter() - started)
                print(f"[{finished}/{len(runs)}] {run.label}: {_accuracies(outcome)}, {elapsed} so far", flush=True)
            elif isinstance(outcome, UserError):
                failures.append(outcome)
                print(f"failed: {outcome}", flush=True)
            else:
                is_stopped = True
    if is_stopped:
        print("stopped; saved. The same command continues.", flush=True)
        return False
    report.show()
    if failures:
        reasons = "\n".join(f"  {failure}" for failure in failures)
        others = "The others are finished. " if len(failures) < len(runs) else ""
        raise UserError(
            f"{len(failures)} of {counted(len(runs), 'run')} failed:\n{reasons}\n{others}Once the reasons are mended, "
            "the same command does what is left."
        )
    return True


def _accuracies(result: RunResult) -> str:
    return (
        f"top-1 {100 * result.top1:.1f} %, frozen {100 * result.frozen:.1f} %, shuffled {100 * result.shuffled:.1f} %"
    )
