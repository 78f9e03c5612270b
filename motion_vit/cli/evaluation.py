"""`motion-vit evaluate | calibrate`."""

import argparse
import math
import os
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import FAILED_STATUS, add_checkpoint, add_command, add_views, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.cli.shifted_videos import (
    ShiftRequest,
    add_shift,
    evaluate_corrupted,
    folder_of_checkpoint,
    make_adapter,
    read_shift,
)
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import WORKERS
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, writing
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import LONGEST_LABEL, for_terminal

if TYPE_CHECKING:
    from motion_vit.training.checkpoints.trained_model import TrainedModel
    from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation
    from motion_vit.training.evaluation.static_bias import StaticBias
    from motion_vit.training.robustness.robustness import Robustness

_DATA_HELP = "prepared folder, FOLDER:SPLIT, tfds:NAME:SPLIT, or list file"
# Letters of the data's name in the name of a report's folder.
_LONGEST_NAME = 100


def add_evaluate(commands: Any) -> None:
    """Defines `motion-vit evaluate`."""
    details = (
        "Writes measures (evaluation.json), every prediction (predictions.csv), the confusion matrix (confusion.csv, "
        "confusion.png), how far probabilities can be trusted (reliability.png) and the worst mistakes (failures.png). "
        "With --corruptions also robustness.json, robustness.csv and robustness.png, with --adapt adaptation.csv. "
        "Exits with 1 if logits are NaN or infinite."
    )
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
        "--compare",
        type=local_path,
        metavar="EVALUATION",
        help="folder of another model's evaluation on the same data: which videos the two differ on (compared.csv)",
    )
    parser.add_argument(
        "--static-bias",
        action="store_true",
        help="of videos rendered with --appearance-bias: evaluate again with other looks (SCUBA, SCUFO, conflict)",
    )
    parser.add_argument(
        "--unknown",
        metavar="DATA",
        help="videos of classes that the model does not know: how well it tells them from the others (open_set.png)",
    )
    parser.add_argument(
        "--threshold-data",
        metavar="DATA",
        help="known videos of which 5 %% are to be called unknown, best those of training; default: those of --data",
    )
    _add_workers(parser)
    add_shift(parser)
    parser.add_argument(
        "--out",
        type=local_path,
        metavar="DIR",
        help="default: CHECKPOINT/evaluation/DATA-ORDER[-best][-ema][-METHOD]; of an installed model "
        "evaluation/NAME/...",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=whole_number(WORKERS), default=0, metavar="N", help="processes that decode; default: 0"
    )


def _evaluate(options: argparse.Namespace) -> int:
    from motion_vit.training.evaluation.paired_comparison import read_predictions
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.processes import exit_on_error, initialize_distributed, is_primary

    shift = read_shift(options)
    _check_questions(options, shift)
    if options.out:
        _check_folder(options.out)
    other = None if options.compare is None else read_predictions(options.compare)
    enable_compilation_cache()
    with exit_on_error():
        initialize_distributed(takes_preemption=False)
        result, bias, robustness = _measure(options, shift)
        if is_primary():
            suffix = f"-{shift.adaptation.method}" if shift.adaptation else ""
            folder = options.out or _report_folder(options, result, suffix)
            _report(result, other, folder, as_json=options.json, bias=bias, robustness=robustness)
    return FAILED_STATUS if result.not_finite else 0


def _check_questions(options: argparse.Namespace, shift: ShiftRequest) -> None:
    """Refuses questions that one evaluation cannot answer together."""
    if options.static_bias and options.frame_order != "normal":
        raise UserError(
            f"--static-bias compares videos in their order; leave out --frame-order {options.frame_order}, which is a "
            "control of its own."
        )
    asked = {
        "--static-bias": options.static_bias,
        "--unknown": options.unknown is not None,
        "--corruptions or --adapt": bool(shift.corruptions or shift.adaptation),
    }
    if len(several := [name for name, is_asked in asked.items() if is_asked]) > 1:
        raise UserError(f"{' and '.join(several)} ask for evaluations of their own: give one, and evaluate again.")


def _measure(
    options: argparse.Namespace, shift: ShiftRequest
) -> "tuple[CheckpointEvaluation, StaticBias | None, Robustness | None]":
    """Evaluates the checkpoint on the videos and, on request, on videos of other looks or corrupted ones."""
    from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
    from motion_vit.training.evaluation.static_bias import evaluate_static_bias
    from motion_vit.zoo.load import as_trained

    names = ("which", "clips", "crops", "workers")
    chosen: dict[str, Any] = {name: getattr(options, name) for name in names}
    all_chosen = chosen | {"ema": options.ema, "batch_size": options.batch_size}
    if options.static_bias:
        return *evaluate_static_bias(options.checkpoint, options.data, **all_chosen), None
    checkpoint: TrainedModel | str = options.checkpoint
    if shift.adaptation or shift.corruptions:  # loaded and compiled once for all evaluations
        checkpoint = as_trained(options.checkpoint, which=options.which, ema=options.ema)
    adapter = make_adapter(checkpoint, options, shift)
    result: CheckpointEvaluation
    if adapter is not None:
        result = adapter.evaluate(options.data, frame_order=options.frame_order, **chosen)
    else:
        asked = {name: getattr(options, name) for name in ("frame_order", "unknown", "threshold_data")}
        result = evaluate_checkpoint(checkpoint, options.data, **all_chosen, **asked)
    if not shift.corruptions:
        return result, None, None
    return result, None, evaluate_corrupted(checkpoint, options, shift, result, adapter)


def _check_folder(folder: pathlib.Path) -> None:
    """Checks that the report's folder can be made, before the evaluation."""
    with writing(folder):
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise UserError(f"--out {folder}: {existing} is a file; give a folder.")
    if not os.access(existing, os.W_OK):
        raise UserError(f"--out {folder}: nothing can be written in {existing}. Name another folder.")


def _report_folder(options: argparse.Namespace, result: "CheckpointEvaluation", suffix: str = "") -> pathlib.Path:
    """Names the default folder of a report, different for each recipe and each choice of options."""
    from motion_vit.data.sources.tfds_location import is_tfds

    data = pathlib.Path(options.data).name.removesuffix(".csv").replace(":", "-")
    if is_tfds(options.data):  # the parts of such a name all matter, and some are no part of a path
        data = re.sub(r"[^\w.+%-]+", "-", options.data)[-_LONGEST_NAME:].strip("-")
    chosen = f"{'-best' if result.which == 'best' else ''}{'-ema' if result.ema else ''}{suffix}"
    folder = folder_of_checkpoint(options.checkpoint, named=pathlib.Path("evaluation"))
    # What is given by its name has no folder that reports could lie in.
    within = folder if folder != pathlib.Path(options.checkpoint) else folder / "evaluation"
    return within / f"{data}-{options.frame_order}{chosen}"


def _report(
    result: "CheckpointEvaluation",
    other: Mapping[str, tuple[str, str]] | None,
    folder: pathlib.Path,
    *,
    as_json: bool,
    bias: "StaticBias | None" = None,
    robustness: "Robustness | None" = None,
) -> None:
    from motion_vit.training.adaptation.adapt_and_evaluate import AdaptedEvaluation
    from motion_vit.training.adaptation.adaptation_file import ADAPTATION_FILE, write_adaptation
    from motion_vit.training.evaluation.paired_comparison import compare_predictions, write_comparison
    from motion_vit.training.evaluation.report import write_report
    from motion_vit.training.robustness.report import robustness_table, write_robustness

    compared = problem = None
    try:
        compared = None if other is None else compare_predictions(result, other)
    except UserError as error:  # told last: what was measured for an hour is worth its report without it
        problem = error
    sections = {} if bias is None else {"static_bias": bias.to_dict()}
    # First of all, because what was measured for an hour must not be lost to a folder that cannot be written.
    if as_json:
        more = {"static_bias": bias, "compared": compared, "robustness": robustness}
        print_json(result.to_dict() | {name: found.to_dict() for name, found in more.items() if found is not None})
    else:
        _print_measures(result)
        if isinstance(result, AdaptedEvaluation):
            print(result.summary_of_adaptation())
        if bias is not None:
            print(bias)
        if result.open_set is not None:
            print(result.open_set)
        if compared is not None:
            print(compared)
        if robustness is not None:
            print(robustness_table(robustness))
    for note in filter(None, (result.warning(), result.interval_note())):
        print(f"motion-vit: {note}", file=sys.stderr)
    try:
        files = write_report(result, folder, result.options, result.open_set, sections=sections)
        if compared is not None:
            files["compared"] = folder / "compared.csv"
            write_comparison(compared, files["compared"])
        if isinstance(result, AdaptedEvaluation):
            files["adaptation"] = folder / ADAPTATION_FILE
            write_adaptation(result, files["adaptation"])
        if robustness is not None:
            files |= write_robustness(robustness, folder)
    except UnwritableError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.reason}. Name another folder with --out."
        ) from error
    if not as_json:
        print("\n".join(f"{name}: {path}" for name, path in files.items()))
    if problem is not None:
        raise problem


def _print_measures(result: "CheckpointEvaluation") -> None:
    for name, value in zip(result.label_names, result.per_class.tolist(), strict=True):
        share = "no videos" if math.isnan(value) else f"{100 * value:5.1f} %"
        print(f"  {for_terminal(name, LONGEST_LABEL):<40} {share}")
    top5 = "" if result.top5 is None else f"  top-5 {100 * result.top5:.2f} %"
    print(f"{counted(result.videos, 'video')}  top-1 {100 * result.top1:.2f} %{top5}")
    for name, value, (low, high) in (
        ("top-1", result.top1, result.top1_interval),
        ("mean of classes", result.mean_class, result.mean_class_interval),
    ):
        print(f"  {name}: {100 * value:.2f} %, 95 % of such samples give {100 * low:.1f} to {100 * high:.1f} %")
    print(f"  loss: {result.loss:.4f}, calibration error: {100 * result.reliability.error:.2f} %")
    for path in result.skipped:
        print(f"skipped, cannot be decoded: {for_terminal(path)}")
    for path in () if result.open_set is None else result.open_set.skipped:
        print(f"skipped of the unknown videos, cannot be decoded: {for_terminal(path)}")


def add_calibrate(commands: Any) -> None:
    """Defines `motion-vit calibrate`."""
    details = (
        "Fits one number, the temperature, that logits are divided by, so that probabilities can be taken at their "
        "word. Rankings and accuracies stay. Writes a weights folder whose classifier is divided by it, which every "
        "command and export takes."
    )
    parser = add_command(
        commands, "calibrate", _calibrate, "make a model's probabilities honest, on held-out videos", details
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--data", required=True, metavar="DATA", help=f"labelled videos that were not trained on: {_DATA_HELP}"
    )
    parser.add_argument("--out", required=True, type=local_path, metavar="DIR", help="new weights folder")
    add_views(parser)
    _add_workers(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _calibrate(options: argparse.Namespace) -> int:
    from motion_vit.training.evaluation.calibrate import calibrate_checkpoint
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

    _check_folder(options.out)
    enable_compilation_cache()
    result = calibrate_checkpoint(
        options.checkpoint,
        options.data,
        options.out,
        which=options.which,
        ema=options.ema,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        workers=options.workers,
    )
    if options.json:
        print_json(result.to_dict())
    else:
        before = result.evaluation
        errors = (100 * before.reliability.error, 100 * result.calibration_error)
        print(f"temperature {result.temperature:.3f}, fitted on {counted(before.videos, 'video')} of {before.data}")
        print(f"  loss: {before.loss:.4f} before, {result.loss:.4f} after")
        print("  calibration error: {:.2f} % before, {:.2f} % after".format(*errors))
        print(options.out)
    if note := result.evaluation.interval_note():
        print(f"motion-vit: {note}", file=sys.stderr)
    return 0
