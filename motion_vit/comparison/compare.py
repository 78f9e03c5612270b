"""Trains the rows of a comparison with several seeds, and writes a table and pictures of the results."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.report import Report, run_folder
from motion_vit.comparison.rows import check_comparable
from motion_vit.comparison.run_all import check_jobs, finish_all, locked_results
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import DEFAULT_SPLITS, render_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.errors import UserError
from motion_vit.training.loop.plan import Plan
from motion_vit.training.recipe.checks import validate
from motion_vit.training.recipe.clips import open_sources


def compare(
    rows: Mapping[str, ConfigDict],
    workdir: pathlib.Path,
    *,
    seeds: int = 1,
    jobs: int = 1,
    splits: Mapping[str, int] = DEFAULT_SPLITS,
    order: Sequence[str] = (),
    swept: Sequence[str] = (),
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
      swept: fields that rows may differ in besides those that are always free, see `rows.check_comparable`.

    Returns:
      False if training was stopped by a signal.

    Raises:
      UserError: a recipe or the data cannot be used, or the folder holds something else. An error of a single run is
        raised after the others have finished.
    """
    check_comparable(rows, swept)
    check_jobs(jobs)
    with locked_results(workdir):
        rows = _with_data(rows, workdir, splits)
        for config in rows.values():
            validate(config)
        conditions = Conditions.of(next(iter(rows.values())))
        training, _ = open_sources(next(iter(rows.values())))
        for name, config in rows.items():
            try:
                Plan.of(config, training)
            except UserError as error:
                raise UserError(f"row {name!r}: {error}") from error
        # Seed by seed: there is a whole comparison early on, and programs that one seed compiled serve the next.
        runs = [_run(name, config, seed, workdir, conditions) for seed in range(seeds) for name, config in rows.items()]
        return finish_all(runs, jobs, Report(workdir, conditions, tuple(dict.fromkeys([*order, *rows]))))


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
