"""Trains the rows of a comparison with several seeds, and writes a table and a picture of how they did."""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.parallel_runs import finish_runs
from motion_vit.comparison.plot import draw_comparison
from motion_vit.comparison.run_result import RunResult
from motion_vit.comparison.table import comparison_table
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import DEFAULT_SPLITS, render_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.training.config_validation import validate
from motion_vit.training.progress import duration

TABLE_FILE = "comparison.md"
PLOT_FILE = "comparison.png"
RESULTS_FILE = "comparison.json"


def compare(
    rows: Mapping[str, ConfigDict],
    workdir: pathlib.Path,
    *,
    seeds: int = 1,
    jobs: int = 1,
    splits: Mapping[str, int] = DEFAULT_SPLITS,
) -> bool:
    """Trains every row with every seed, evaluates with two controls, and writes table, picture and numbers.

    An interrupted comparison continues where it stopped when it is run again, also with more rows or seeds. Table and
    picture are renewed after every run, so that they can be looked at on the way.

    Args:
      rows: name -> recipe, of `rows.load_rows`. Where they name no data, the embedded motion dataset is rendered.
      workdir: folder of everything that is made.
      seeds: how many; 0, 1 and so on are added to each recipe's own.
      jobs: runs at a time, each with its share of the cores; for models that are too small to fill them.
      splits: videos of the embedded dataset to render for `train` and `validation`.

    Returns:
      False if training was stopped by a signal.

    Raises:
      UserError: a recipe or the data cannot be used, or the folder holds something else.
    """
    rows = _with_data(rows, workdir, splits)
    for config in rows.values():
        validate(config)
    # Seed by seed, so that there is a whole comparison early on, and programs that one seed compiled serve the next.
    runs = [
        _run(name, config, seed, workdir / "runs" / name / f"seed{seed}")
        for seed in range(seeds)
        for name, config in rows.items()
    ]
    started, results = time.perf_counter(), dict[str, RunResult]()
    for run, result in finish_runs(runs, jobs):
        if result is None:
            print("stopped; saved. The same command continues.", flush=True)
            return False
        results[str(run.folder)] = result
        _report([results[str(run.folder)] for run in runs if str(run.folder) in results], workdir)
        print(
            f"[{len(results)}/{len(runs)}] {result.row}, seed {result.seed}: top-1 {100 * result.top1:.1f} %, frozen "
            f"{100 * result.frozen:.1f} %, shuffled {100 * result.shuffled:.1f} %, "
            f"{duration(time.perf_counter() - started)} so far",
            flush=True,
        )
    print((workdir / TABLE_FILE).read_text(encoding="utf-8"))
    return True


def _with_data(
    rows: Mapping[str, ConfigDict], workdir: pathlib.Path, splits: Mapping[str, int]
) -> Mapping[str, ConfigDict]:
    """The rows, on the embedded dataset if they name none."""
    if any(config.data.train for config in rows.values()):
        return rows
    render_dataset(workdir / "dataset", splits=splits)
    prepared = workdir / "prepared"
    prepare_dataset(read_dataset("list", workdir / "dataset", {}), prepared)
    changed = {name: config.copy_and_resolve_references() for name, config in rows.items()}
    for config in changed.values():
        config.data.train = config.data.validation = os.path.relpath(prepared)
    return changed


def _run(name: str, config: ConfigDict, seed: int, folder: pathlib.Path) -> ComparisonRun:
    seeded = config.copy_and_resolve_references()
    seeded.seed += seed
    seeded.name = f"{name}, seed {seed}"
    return ComparisonRun(name, seed, seeded, folder)


def _report(results: Sequence[RunResult], workdir: pathlib.Path) -> None:
    records = [dataclasses.asdict(result) for result in results]
    (workdir / RESULTS_FILE).write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    (workdir / TABLE_FILE).write_text(comparison_table(results) + "\n", encoding="utf-8")
    draw_comparison(results, workdir / PLOT_FILE)
