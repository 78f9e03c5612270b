"""`motion-vit compare`."""

import argparse
from typing import Any

from motion_vit.cli.arguments import STOPPED_STATUS, add_command, whole
from motion_vit.files.local_path import local_path


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
        "--config", required=True, metavar="RECIPE", help="file with get_configs(), or the name of an installed one"
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
    from motion_vit.comparison.rows import load_rows
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.recipe.file import load_configs

    rows = load_rows(options.config, options.overrides, options.rows)
    enable_compilation_cache()
    order = list(load_configs(options.config))
    finished = compare(rows, options.workdir, seeds=options.seeds, jobs=options.jobs, order=order)
    return 0 if finished else STOPPED_STATUS
