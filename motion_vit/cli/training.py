"""`motion-vit train` and `motion-vit pretrain`."""

import argparse
import gc
import pathlib
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import (
    STOPPED_STATUS,
    add_command,
)
from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_DETAILS = "The same command continues a stopped run (status 75). Any field of the recipe: --config.batch_size=8."


def add_train(commands: Any) -> None:
    """Defines `motion-vit train`."""
    parser = add_command(commands, "train", _train, "train a model by a recipe", _DETAILS, takes_overrides=True)
    _add_arguments(parser, "train")


def add_pretrain(commands: Any) -> None:
    """Defines `motion-vit pretrain`."""
    details = f"Labels are not read; `train` with initial_weights fine-tunes the result. {_DETAILS}"
    parser = add_command(
        commands, "pretrain", _pretrain, "pretrain a model without labels", details, takes_overrides=True
    )
    _add_arguments(parser, "pretrain")


def _add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
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
    parser.usage = f"motion-vit {command} --config FILE --workdir DIR [--profile] [--config.key=value ...]"


def _train(options: argparse.Namespace) -> int:
    from motion_vit.training.recipe.file import load_config

    return _run(options, load_config(options.config, options.overrides))


def _pretrain(options: argparse.Namespace) -> int:
    from motion_vit.training.recipe.file import load_config

    config = load_config(options.config, options.overrides)
    if config.objective == "classification":
        raise UserError(
            f"config field objective is {config.objective!r}, which `motion-vit train` trains with labels. Add "
            "--config.objective=masked_autoencoding to pretrain without them, or take the recipe pretrain_videomae. "
            "Of a UniFormer it is masked_filling, and pretrain_uniformer."
        )
    return _run(options, config)


def _run(options: argparse.Namespace, config: "ConfigDict") -> int:
    from motion_vit.training.loop.loop import train
    from motion_vit.training.loop.step_cache import StepCache
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache, kept_steps_folder
    from motion_vit.training.parallel.processes import exit_on_error, initialize_distributed, is_primary
    from motion_vit.training.recipe.file import split_argument

    # Modules are never garbage, and tracing makes many small objects that live: looking through both for garbage takes
    # a tenth of the time of tracing a step, and more.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    enable_compilation_cache()
    folder = kept_steps_folder()
    recipe = pathlib.Path(split_argument(options.config)[0])
    steps = None if folder is None else StepCache(folder, sources=(recipe,), arguments=(options.config,))
    with exit_on_error():
        initialize_distributed()
        result = train(config, options.workdir, profile=options.profile, steps=steps)
    if not result.completed:
        return STOPPED_STATUS
    if not is_primary():
        return 0
    accuracy = "" if result.top1 is None else f", validation top-1 {100 * result.top1:.1f} %"
    print(f"finished: {counted(result.steps, 'step')}{accuracy}; {options.workdir}")
    if config.objective != "classification":
        print(
            f"fine-tune it: motion-vit train --config RECIPE --workdir DIR --config.initial_weights={options.workdir}"
        )
    if result.undecodable:
        print(f"{counted(len(result.undecodable), 'training video')} could not be decoded and did not count.")
    return 0
