"""Trains recipes on data sets, with few or all of their videos, and reports how accuracy grows with these.

The protocol is that of BEAR (Deng, Yang and Chen, A large-scale study of spatiotemporal representation learning with a
new benchmark on action recognition, ICCV 2023). Recipes are fine-tuned on all training clips, and on k clips of each
class in several random splits, of which mean and standard deviation are given. Splits of BEAR's own few-shot lists are
drawn for each k; here smaller ones lie within larger ones of the same split, see
`motion_vit.data.sources.subset_choice`.
"""

import pathlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.run_all import check_jobs, finish_all, locked_results
from motion_vit.comparison.transfer_data import Subsets, TransferData, folder_of
from motion_vit.comparison.transfer_report import TransferCell, TransferReport
from motion_vit.data.sources.subset_choice import SubsetSize
from motion_vit.errors import UserError
from motion_vit.training.loop.plan import Plan
from motion_vit.training.recipe.checks import validate
from motion_vit.training.recipe.clips import open_sources

RUNS_FOLDER = "runs"
SUBSETS_FOLDER = "subsets"


def transfer(
    recipes: Mapping[str, ConfigDict],
    data: Sequence[TransferData],
    workdir: pathlib.Path,
    *,
    sizes: Sequence[SubsetSize],
    splits: int = 3,
    seed: int = 0,
    jobs: int = 1,
) -> bool:
    """Trains every recipe on every subset of every data set, and evaluates on the held-out videos of the data set.

    An interrupted call continues when it is made again, also with more recipes, data sets, sizes or splits. The report
    is renewed after every run: `transfer.md`, `transfer.png` and `transfer.json`. Split `s` takes the clips that seed
    `seed + s` chooses, and adds as much to the seed of the recipe. All clips are trained on once.

    Args:
      recipes: name -> recipe; `data.train` and `data.validation` are set here.
      data: of `transfer_data.find_data`.
      workdir: folder of all output.
      sizes: how many clips of each class are trained on.
      splits: subsets of each size, but for all clips.
      seed: of the first split.
      jobs: parallel runs, on CPU alone, each with its share of the cores.

    Returns:
      False if training was stopped by a signal.

    Raises:
      UserError: a recipe or the data cannot be used, a class has too few clips, a batch is larger than a subset, or the
        folder holds something else; before anything is trained. An error of a single run is raised after the others
        have finished.
    """
    check_jobs(jobs)
    if not recipes or not data or not sizes:
        raise UserError("a transfer takes at least one recipe, one data set and one size; one of them is empty.")
    for config in recipes.values():
        validate(config)
    if repeated := [str(size) for number, size in enumerate(sizes) if size in sizes[:number]]:
        raise UserError(f"the size {repeated[0]} is given twice; give each once.")
    with locked_results(workdir):
        subsets = {each.name: Subsets(each, workdir / SUBSETS_FOLDER) for each in data}
        for each in subsets.values():
            each.check(sizes)
        cells = [
            cell
            for size in sizes
            for split in range(1 if size.is_everything else splits)
            for each in data
            for cell in _cells(recipes, each, subsets[each.name], size, seed + split, split, workdir)
        ]
        return finish_all([cell.run for cell in cells], jobs, TransferReport(workdir, cells))


def _cells(
    recipes: Mapping[str, ConfigDict],
    data: TransferData,
    subsets: Subsets,
    size: SubsetSize,
    seed: int,
    split: int,
    workdir: pathlib.Path,
) -> list[TransferCell]:
    """Makes the runs of all recipes on a subset."""
    train = subsets.location(size, seed)
    folder = workdir / RUNS_FOLDER / data.name / folder_of(size)
    cells = []
    for name, recipe in recipes.items():
        config = recipe.copy_and_resolve_references()
        config.data.train, config.data.validation = train, data.validation
        config.seed += seed
        config.name = f"{name}, {size} of {data.name}, split {split}"
        training, _ = open_sources(config)
        Plan.of(config, training)  # refuses a batch that is larger than the subset
        place = f"all of {data.name}" if size.is_everything else f"{size.title} of {data.name}"
        run = ComparisonRun(name, seed, config, folder / name / f"seed{seed}", Conditions.of(config), place)
        cells.append(TransferCell(data.name, size, split, len(training), run))
    return cells
