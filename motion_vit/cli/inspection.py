"""`motion-vit inspect`."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import add_command, model_options, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.errors import UserError
from motion_vit.ranges import CLASSES

if TYPE_CHECKING:
    from ml_collections import ConfigDict

TOO_LARGE_STATUS = 3
"""Exit status of a recipe whose training step does not fit into the devices' memory."""

_LOCAL = "local"


def add_inspect(commands: Any) -> None:
    """Defines `motion-vit inspect`."""
    details = (
        "Of a model's name, with OPTION=VALUE such as frames=32: its parts. Of a recipe (file or name): parameters, "
        "steps, learning rates, data and memory, in seconds. --compile or --topology compile its step, without "
        "running it: memory, arithmetic and communication of a device. Any field of the recipe: "
        "--config.batch_size=64. Exit status 3 if a compiled step does not fit a device."
    )
    summary = "print what a model, or a run of a recipe, takes"
    parser = add_command(commands, "inspect", _inspect, summary, details, takes_overrides=True)
    parser.add_argument("subject", nargs="?", metavar="MODEL|RECIPE", help="name of a model, or a recipe")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="of a model, such as frames=32 window=5")
    parser.add_argument("--config", metavar="RECIPE", help="the recipe, as for train")
    parser.add_argument("--compile", action="store_true", help="of a recipe: compile its step for this machine")
    parser.add_argument(
        "--topology",
        action="append",
        default=[],
        metavar="NAME",
        help="of a recipe: compile its step for a TPU slice such as v5e:4x4 or v5p:2x2x2 (no TPU is needed, the extra "
        "`tpu` is), GPUs such as h100:8, h200:1 or a100:4x8 for 4 hosts of 8 (no GPU is needed, the extra `gpu` is), "
        "or local for the devices of this machine; may be given several times",
    )
    parser.add_argument(
        "--classes",
        type=whole_number(CLASSES),
        metavar="N",
        help="of a recipe: classes of its data; default: those of the data if there are, or else 400",
    )
    parser.add_argument("--json", action="store_true", help="of a recipe: print JSON")
    parser.usage = (
        "motion-vit inspect MODEL [OPTION=VALUE ...]\n"
        "       motion-vit inspect RECIPE [--compile] [--topology NAME ...] [--config.key=value ...]"
    )


def _inspect(options: argparse.Namespace) -> int:
    if options.config is not None:
        return _inspect_recipe(options, options.config, [*filter(None, [options.subject]), *options.options])
    if options.subject is None:
        raise UserError("nothing is named; give the name of a model, or a recipe, with or without --config.")
    from motion_vit.training.recipe.packaged import names_recipe

    if names_recipe(options.subject):
        return _inspect_recipe(options, options.subject, options.options)
    from motion_vit.models.inspection import inspect_model

    if options.overrides or options.topology or options.json or options.classes or options.compile:
        raise UserError(
            f"{options.subject!r} is taken for the name of a model. --config.KEY=VALUE, --compile, --topology, "
            "--classes and --json are for recipes, which are .py files or names of `motion-vit recipe list`; options "
            "of a model are written OPTION=VALUE."
        )
    print(inspect_model(options.subject, model_options(options.options)))
    return 0


def _inspect_recipe(options: argparse.Namespace, recipe: str, words: Sequence[str]) -> int:
    if words:
        raise UserError(f"{words[0]!r} is an option of a model; fields of a recipe are written --config.KEY=VALUE.")
    names = [*([_LOCAL] if options.compile and _LOCAL not in options.topology else []), *options.topology]
    _leave_accelerators_alone(names)
    from motion_vit.training.recipe.file import load_config

    config = load_config(recipe, options.overrides)
    return _compile(options, config, names) if names else _outline(options, config)


def _outline(options: argparse.Namespace, config: "ConfigDict") -> int:
    from motion_vit.training.loop.outline import format_outline, outline

    run = outline(config, num_classes=options.classes)
    if options.json:
        print_json(run.to_dict())
    else:
        print(format_outline(run))
    return 0


def _compile(options: argparse.Namespace, config: "ConfigDict", names: Sequence[str]) -> int:
    from motion_vit.training.ahead_of_time.report import scaling_report
    from motion_vit.training.ahead_of_time.table import format_report
    from motion_vit.training.loop.outline import classes_of

    num_classes = classes_of(config, options.classes)
    reports = []
    for name in names:
        reports.append(scaling_report(config, name, num_classes=num_classes))
        if not options.json:
            print(format_report(reports[-1]), end="\n\n" if name != names[-1] else "\n", flush=True)
    if options.json:
        print_json([report.to_dict() for report in reports])
    return 0 if all(report.fits for report in reports) else TOO_LARGE_STATUS


def _leave_accelerators_alone(topologies: Sequence[str]) -> None:
    """Keeps JAX from looking for accelerators where only a compiler is needed."""
    import jax

    if _LOCAL not in topologies and "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")
