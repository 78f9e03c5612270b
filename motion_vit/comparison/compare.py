"""Trains the rows of a comparison with several seeds, and writes a table and pictures of the results."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
from ml_collections import ConfigDict

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.parallel_runs import finish_runs
from motion_vit.comparison.report import Report, run_folder
from motion_vit.comparison.rows import check_comparable
from motion_vit.comparison.run_result import RunResult
from motion_vit.counts import counted
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import DEFAULT_SPLITS, render_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.errors import UserError
from motion_vit.files.folder_lock import locked_folder
from motion_vit.training.logs.progress import duration
from motion_vit.training.recipe.checks import validate


def compare(
    rows: Mapping[str, ConfigDict],
    workdir: pathlib.Path,
    *,
    seeds: int = 1,
    jobs: int = 1,
    splits: Mapping[str, int] = DEFAULT_SPLITS,
    order: Sequence[str] = (),
) -> bool:
    """Trains every row with every seed, evaluates with two controls, and writes table, picture and numbers.

    An interrupted comparison continues when it is run again, also with more rows or seeds. Table and pictures are
    updated after every run. They hold all results in the workdir that were trained and evaluated on the same clips in
    the same way, so that later calls can add rows or seeds.

    With several jobs, a script must call this under `if __name__ == "__main__":`, because each process imports the
    script.

    Args:
      rows: name -> recipe, of `rows.load_rows`. Where they name no data, the embedded motion dataset is rendered.
      workdir: folder of all output.
      seeds: number of seeds; 0, 1 and so on are added to each recipe's own.
      jobs: parallel runs, on CPU alone, each with its share of the cores; for models that are too small to fill them.
      splits: videos of the embedded dataset to render for `train` and `validation`.
      order: names of rows in the order of the table. The other rows of `rows` follow in its order, then those found in
        the workdir, by name.

    Returns:
      False if training was stopped by a signal.

    Raises:
      UserError: a recipe or the data cannot be used, or the folder holds something else. An error of a single run is
        raised after the others have finished.
    """
    check_comparable(rows)
    if jobs > 1 and jax.default_backend() != "cpu":
        raise UserError(
            f"{jobs} jobs were asked for, but several processes cannot share the memory of a {jax.default_backend()}. "
            "Take one job, or JAX_PLATFORMS=cpu for models that are small enough."
        )
    with _locked(workdir):
        rows = _with_data(rows, workdir, splits)
        for config in rows.values():
            validate(config)
        conditions = Conditions.of(next(iter(rows.values())))
        # Seed by seed: there is a whole comparison early on, and programs that one seed compiled serve the next.
        runs = [_run(name, config, seed, workdir, conditions) for seed in range(seeds) for name, config in rows.items()]
        return _finish_all(runs, jobs, Report(workdir, conditions, tuple(dict.fromkeys([*order, *rows]))))


@contextlib.contextmanager
def _locked(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder of a comparison, and keeps other comparisons out of it."""
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


def _with_data(
    rows: Mapping[str, ConfigDict], workdir: pathlib.Path, splits: Mapping[str, int]
) -> Mapping[str, ConfigDict]:
    """Returns the rows, on the embedded dataset if they name no data."""
    if any(config.data.train for config in rows.values()):
        return rows
    render_dataset(workdir / "dataset", splits=splits)
    prepared = workdir / "prepared"
    prepare_dataset(read_dataset("list", workdir / "dataset", {}), prepared)
    changed = {name: config.copy_and_resolve_references() for name, config in rows.items()}
    for config in changed.values():
        config.data.train = config.data.validation = os.path.relpath(prepared)
    return changed


def _run(name: str, config: ConfigDict, seed: int, workdir: pathlib.Path, conditions: Conditions) -> ComparisonRun:
    seeded = config.copy_and_resolve_references()
    seeded.seed += seed
    seeded.name = f"{name}, seed {seed}"
    return ComparisonRun(name, seed, seeded, run_folder(workdir, name, seed), conditions)


def _finish_all(runs: Sequence[ComparisonRun], jobs: int, report: Report) -> bool:
    """Finishes the unfinished runs; returns False if a signal stopped them."""
    unfinished = [run for run in runs if run.known_result() is None]
    report.renew()
    started, finished, is_stopped = time.perf_counter(), len(runs) - len(unfinished), False
    failures: list[UserError] = []
    with contextlib.closing(finish_runs(unfinished, jobs)) as outcomes:
        for _, outcome in outcomes:
            if isinstance(outcome, RunResult):
                report.renew()
                finished += 1
                elapsed = duration(time.perf_counter() - started)
                print(f"[{finished}/{len(runs)}] {_line(outcome)}, {elapsed} so far", flush=True)
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
        raise UserError(
            f"{len(failures)} of {counted(len(runs), 'run')} failed:\n{reasons}\nThe others are finished. Once the "
            "reasons are mended, the same command does what is left."
        )
    return True


def _line(result: RunResult) -> str:
    return (
        f"{result.row}, seed {result.seed}: top-1 {100 * result.top1:.1f} %, frozen {100 * result.frozen:.1f} %, "
        f"shuffled {100 * result.shuffled:.1f} %"
    )
