"""`motion-vit demo`."""

import argparse
from typing import Any

from motion_vit.cli.arguments import STOPPED_STATUS, add_command, whole_number
from motion_vit.files.local_path import local_path
from motion_vit.ranges import SEED


def add_demo(commands: Any) -> None:
    """Defines `motion-vit demo`."""
    details = (
        "Renders the embedded dataset, prepares it, trains, evaluates with two controls, predicts and draws one video."
    )
    parser = add_command(commands, "demo", _demo, "show everything on the embedded motion dataset", details)
    parser.add_argument("--workdir", required=True, type=local_path, metavar="DIR", help="continued if it exists")
    parser.add_argument(
        "--config", default="demo", metavar="RECIPE", help="recipe file, or name of an installed one; default: demo"
    )
    parser.add_argument(
        "--seed", type=whole_number(SEED), default=0, help="of the videos and of the training; default: 0"
    )
    parser.add_argument(
        "--small", action="store_true", help="a few videos and steps: checks an installation, and learns nothing"
    )


def _demo(options: argparse.Namespace) -> int:
    from motion_vit.demo import SMALL, run_demo
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    size = SMALL if options.small else {}
    return 0 if run_demo(options.workdir, options.config, seed=options.seed, **size) else STOPPED_STATUS
