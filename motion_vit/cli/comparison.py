"""`motion-vit compare | transfer`."""

import argparse
import re
from typing import Any

from motion_vit.cli.arguments import STOPPED_STATUS, add_command, whole, whole_number
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.ranges import SEED


def add_compare(commands: Any) -> None:
    """Defines `motion-vit compare`."""
    details = (
        "Trains every row of a comparison with every seed, on the embedded motion dataset if the recipes name no data, "
        "evaluates with two controls, and writes comparison.md, comparison.png, learning_curves.png and "
        "comparison.json of all results that the workdir holds. The same command continues one that was stopped "
        "(status 75)."
    )
    parser = add_command(
        commands, "compare", _compare, "train several recipes on equal terms", details, takes_overrides=True
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="RECIPE",
        help="file with get_configs() or get_config(), or the name of an installed one, or either with :ARG",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUES",
        help="a grid: every recipe with each of the values, such as config.optimizer.learning_rate=1e-4,3e-4; may be "
        "given for several fields",
    )
    parser.add_argument("--workdir", required=True, type=local_path, metavar="DIR", help="continued if it exists")
    parser.add_argument("--seeds", type=whole(1, 1000), default=1, metavar="N", help="seeds of each row; default: 1")
    parser.add_argument(
        "--jobs",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="runs at a time, each in a process with its share of the cores; on CPU alone; default: 1",
    )
    parser.add_argument(
        "--rows", nargs="+", default=(), metavar="ROW", help="train only these rows; the table keeps what is finished"
    )


def _compare(options: argparse.Namespace) -> int:
    from motion_vit.comparison.compare import compare
    from motion_vit.comparison.rows import load_rows, read_rows
    from motion_vit.comparison.sweep import parse_axis
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    axes = [parse_axis(text) for text in options.set]
    rows = load_rows(options.config, options.overrides, options.rows, axes)
    enable_compilation_cache()
    finished = compare(
        rows,
        options.workdir,
        seeds=options.seeds,
        jobs=options.jobs,
        order=list(read_rows(options.config, axes=axes)),
        swept=[axis.field for axis in axes],
    )
    return 0 if finished else STOPPED_STATUS


def add_transfer(commands: Any) -> None:
    """Defines `motion-vit transfer`."""
    details = (
        "Trains every recipe on every data set with few or all of its videos, and evaluates on its held-out videos. "
        "Writes transfer.md, transfer.png and transfer.json: means and standard deviations over random splits. The "
        "same command continues one that was stopped (status 75)."
    )
    parser = add_command(
        commands,
        "transfer",
        _transfer,
        "train recipes on several data sets, with few or all of their videos",
        details,
        takes_overrides=True,
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="RECIPE",
        help="file with get_configs() or get_config(), or the name of an installed one, or either with :ARG",
    )
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="DATA",
        help="prepared folders, folders with train.csv and validation.csv, or tfds:NAME",
    )
    parser.add_argument("--workdir", required=True, type=local_path, metavar="DIR", help="continued if it exists")
    parser.add_argument(
        "--shots",
        nargs="+",
        default=["all"],
        metavar="SIZE",
        help="training clips of each class, such as 4, a share of each such as 10%%, or all; default: all",
    )
    parser.add_argument(
        "--splits",
        type=whole(1, 1000),
        default=3,
        metavar="N",
        help="random subsets of each size, but for all; default: 3",
    )
    parser.add_argument("--seed", type=whole_number(SEED), default=0, help="of the first of them; default: 0")
    parser.add_argument(
        "--jobs",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="runs at a time, each in a process with its share of the cores; on CPU alone; default: 1",
    )


def _transfer(options: argparse.Namespace) -> int:
    from motion_vit.comparison.rows import read_rows
    from motion_vit.comparison.transfer import transfer
    from motion_vit.comparison.transfer_data import find_data
    from motion_vit.data.sources.subset_choice import parse_size
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    if given := [change for change in options.overrides if re.match(r"--config\.data\.(train|validation)=", change)]:
        raise UserError(f"{given[0].partition('=')[0]} is set by the command itself: --data names the videos.")
    sizes = [parse_size(text) for text in options.shots]
    data = find_data(options.data)
    recipes = read_rows(options.config, options.overrides)
    enable_compilation_cache()
    finished = transfer(
        recipes,
        data,
        options.workdir,
        sizes=sizes,
        splits=options.splits,
        seed=options.seed,
        jobs=options.jobs,
    )
    return 0 if finished else STOPPED_STATUS
