"""`motion-vit train`."""

import argparse
import gc
from typing import Any

from motion_vit.cli.arguments import (
    STOPPED_STATUS,
    add_command,
)
from motion_vit.counts import counted
from motion_vit.files.local_path import local_path


def add_train(commands: Any) -> None:
    """Defines `motion-vit train`."""
    details = "The same command continues a stopped run (status 75). Any field of the recipe: --config.batch_size=8."
    parser = add_command(commands, "train", _train, "train a model by a recipe", details, takes_overrides=True)
    parser.add_argument(
        "--config",
        required=True,
        metavar="RECIPE",
        help="recipe file, or name of an installed one, or either with :ARG",
    )
    parser.add_argument("--workdir", required=True, type=local_path, metavar="DIR", help="folder of the run")
    parser.add_argument(
        "--profile", action="store_true", help="trace a few steps after warm-up, into the workdir's folder profile"
    )
    parser.usage = "motion-vit train --config FILE --workdir DIR [--profile] [--config.key=value ...]"


def _train(options: argparse.Namespace) -> int:
    from motion_vit.training.loop.loop import train
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.processes import exit_on_error, initialize_distributed, is_primary
    from motion_vit.training.recipe.file import load_config

    # Modules are never garbage, and tracing makes many small objects that live: looking through both for garbage takes
    # a tenth of the time of tracing a step, and more.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    config = load_config(options.config, options.overrides)
    enable_compilation_cache()
    with exit_on_error():
        initialize_distributed()
        result = train(config, options.workdir, profile=options.profile)
    if not result.completed:
        return STOPPED_STATUS
    if not is_primary():
        return 0
    accuracy = "" if result.top1 is None else f", validation top-1 {100 * result.top1:.1f} %"
    print(f"finished: {counted(result.steps, 'step')}{accuracy}; {options.workdir}")
    if result.undecodable:
        print(f"{counted(len(result.undecodable), 'training video')} could not be decoded and did not count.")
    return 0
