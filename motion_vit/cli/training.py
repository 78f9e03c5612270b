"""`motion-vit train | evaluate`."""

import argparse
import gc
import os
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import (
    FAILED_STATUS,
    STOPPED_STATUS,
    add_checkpoint,
    add_command,
    add_views,
    whole_number,
)
from motion_vit.cli.json_output import print_json
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import WORKERS
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, writing
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import LONGEST_LABEL, for_terminal

if TYPE_CHECKING:
    from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation

_DATA_HELP = "prepared folder, FOLDER:SPLIT, tfds:NAME:SPLIT, or list file"
# Letters of the data's name in the name of a report's folder.
_LONGEST_NAME = 100


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


def add_evaluate(commands: Any) -> None:
    """Defines `motion-vit evaluate`."""
    details = "Writes evaluation.json, confusion.csv and confusion.png. Exits with 1 if logits are NaN or infinite."
    parser = add_command(commands, "evaluate", _evaluate, "measure a checkpoint's accuracy on labelled videos", details)
    add_checkpoint(parser)
    parser.add_argument("--data", required=True, metavar="DATA", help=_DATA_HELP)
    parser.add_argument(
        "--frame-order",
        choices=["normal", "frozen", "shuffled", "reversed"],
        default="normal",
        help="controls: every frame the middle one, in random order, or backwards",
    )
    add_views(parser)
    parser.add_argument(
        "--workers", type=whole_number(WORKERS), default=0, metavar="N", help="processes that decode; default: 0"
    )
    parser.add_argument(
        "--out",
        type=local_path,
        metavar="DIR",
        help="default: CHECKPOINT/evaluation/DATA-ORDER[-best][-ema]; of an installed model evaluation/NAME/...",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _evaluate(options: argparse.Namespace) -> int:
    from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.processes import exit_on_error, initialize_distributed, is_primary

    if options.out:
        _check_folder(options.out)
    enable_compilation_cache()
    with exit_on_error():
        initialize_distributed(takes_preemption=False)
        result = evaluate_checkpoint(
            options.checkpoint,
            options.data,
            which=options.which,
            ema=options.ema,
            clips=options.clips,
            crops=options.crops,
            frame_order=options.frame_order,
            batch_size=options.batch_size,
            workers=options.workers,
        )
        if is_primary():
            _report(result, options.out or _report_folder(options, result), as_json=options.json)
    return FAILED_STATUS if result.not_finite else 0


def _check_folder(folder: pathlib.Path) -> None:
    """Checks that the report's folder can be made, before the evaluation."""
    with writing(folder):
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise UserError(f"--out {folder}: {existing} is a file; give a folder.")
    if not os.access(existing, os.W_OK):
        raise UserError(f"--out {folder}: nothing can be written in {existing}. Name another folder.")


def _report_folder(options: argparse.Namespace, result: "CheckpointEvaluation") -> pathlib.Path:
    """Names the default folder of a report, different for each recipe and each choice of options."""
    from motion_vit.data.sources.tfds_location import is_tfds
    from motion_vit.training.checkpoints.load_trained import is_checkpoint
    from motion_vit.training.checkpoints.packaged import packaged_checkpoints
    from motion_vit.zoo.hub import is_hub_name
    from motion_vit.zoo.table import published_weights

    data = pathlib.Path(options.data).name.removesuffix(".csv").replace(":", "-")
    if is_tfds(options.data):  # the parts of such a name all matter, and some are no part of a path
        data = re.sub(r"[^\w.+%-]+", "-", options.data)[-_LONGEST_NAME:].strip("-")
    name = f"{data}-{options.frame_order}{'-best' if result.which == 'best' else ''}{'-ema' if result.ema else ''}"
    checkpoint = pathlib.Path(options.checkpoint)
    # What is given by its name has no folder that reports could lie in.
    named = str(checkpoint) in packaged_checkpoints() or str(checkpoint) in published_weights()
    if is_hub_name(options.checkpoint):
        return pathlib.Path("evaluation", re.sub(r"[^\w.-]+", "-", options.checkpoint)) / name
    return ("evaluation" / checkpoint if named and not is_checkpoint(checkpoint) else checkpoint / "evaluation") / name


def _report(result: "CheckpointEvaluation", folder: pathlib.Path, *, as_json: bool) -> None:
    from motion_vit.training.evaluation.evaluate import write_report

    # First of all, because what was measured for an hour must not be lost to a folder that cannot be written.
    if as_json:
        print_json(result.to_dict())
    else:
        for name, value in result.to_dict()["per_class"].items():
            share = "no videos" if value is None else f"{100 * value:5.1f} %"
            print(f"  {for_terminal(name, LONGEST_LABEL):<40} {share}")
        print(f"{counted(result.videos, 'video')}  top-1 {100 * result.top1:.2f} %  top-5 {100 * result.top5:.2f} %")
        for path in result.skipped:
            print(f"skipped, cannot be decoded: {for_terminal(path)}")
    if warning := result.warning():
        print(f"motion-vit: {warning}", file=sys.stderr)
    try:
        files = write_report(result, folder)
    except UnwritableError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.reason}. Name another folder with --out."
        ) from error
    if not as_json:
        print("\n".join(f"{name}: {path}" for name, path in files.items()))
