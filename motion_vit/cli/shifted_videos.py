"""`motion-vit source-statistics`, and what `motion-vit evaluate` takes for corrupted videos and adaptation."""

import argparse
import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import add_checkpoint, add_command, model_options, whole, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import WORKERS
from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.atomic_file import writing
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal
from motion_vit.ranges import SEED

if TYPE_CHECKING:
    from motion_vit.training.adaptation.adapt_and_evaluate import Adapter
    from motion_vit.training.adaptation.options import AdaptationOptions
    from motion_vit.training.checkpoints.trained_model import TrainedModel
    from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation
    from motion_vit.training.robustness.robustness import CorruptedResult, Robustness

# Written out, so that `--help` need not read the modules of adaptation; a test compares them.
_METHODS = ("vitta", "tent", "norm")
_SEVERITY = "5"
_FILE = "source_statistics"


@dataclasses.dataclass(frozen=True)
class ShiftRequest:
    """The arguments of an evaluation that ask for corrupted videos and for adaptation.

    Attributes:
      corruptions: names, () for none.
      severities: of each.
      seed: of the draws of corruptions.
      adaptation: how the model is adapted, or None.
      statistics: file of the source statistics, where it is named.
    """

    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int
    adaptation: "AdaptationOptions | None"
    statistics: pathlib.Path | None


def add_shift(parser: argparse.ArgumentParser) -> None:
    """Defines `--corruptions` and `--adapt`, and what belongs to them.

    Args:
      parser: of `motion-vit evaluate`.
    """
    parser.add_argument(
        "--corruptions", metavar="NAMES", help="also measure on corrupted videos: all, or names with commas between"
    )
    parser.add_argument(
        "--severities", metavar="NUMBERS", help=f"of the corruptions: all, or some of 1 to 5; default: {_SEVERITY}"
    )
    parser.add_argument(
        "--corruption-seed", type=whole_number(SEED), metavar="N", help="another one draws other noise; default: 0"
    )
    parser.add_argument(
        "--adapt",
        choices=_METHODS,
        help="adapt the model to the videos as they come, and report both: ViTTA, Tent, or the statistics of BatchNorm",
    )
    parser.add_argument(
        "--adapt-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the adaptation, such as start=source or learning_rate=1e-5; may be given several times",
    )
    parser.add_argument(
        "--statistics",
        type=local_path,
        metavar="FILE",
        help=f"of vitta; default: {_FILE}.safetensors beside the checkpoint, where source-statistics writes it",
    )


def read_shift(options: argparse.Namespace) -> ShiftRequest:
    """Reads these arguments, before anything is loaded.

    Args:
      options: of `motion-vit evaluate`.

    Returns:
      What they ask for.

    Raises:
      UserError: a name or value is not known, or one is given without what it belongs to.
    """
    from motion_vit.data.corruptions.corruption import parse_corruptions, parse_severities
    from motion_vit.training.adaptation.options import AdaptationOptions

    for given, name in ((options.severities, "--severities"), (options.corruption_seed, "--corruption-seed")):
        if given is not None and options.corruptions is None:
            raise UserError(f"{name} belongs to --corruptions, which is not given; add --corruptions all, or names.")
    for given, name in ((options.adapt_option, "--adapt-option"), (options.statistics, "--statistics")):
        if given and options.adapt is None:
            raise UserError(f"{name} belongs to --adapt, which is not given; add --adapt {', '.join(_METHODS)}.")
    names: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    if options.corruptions is not None:
        names = parse_corruptions(options.corruptions)
        severities = parse_severities(_SEVERITY if options.severities is None else options.severities)
    adaptation = None
    if options.statistics is not None and options.adapt != "vitta":
        raise UserError(f"--statistics belongs to --adapt vitta, not to --adapt {options.adapt}; leave it out.")
    if options.adapt is not None:
        adaptation = AdaptationOptions(method=options.adapt, **_adaptation_values(options.adapt, options.adapt_option))
    return ShiftRequest(names, severities, options.corruption_seed or 0, adaptation, options.statistics)


def _adaptation_values(method: str, texts: list[str]) -> dict[str, Any]:
    from motion_vit.training.adaptation.options import ADAPTATION_RANGES, options_of

    values = model_options(texts, of="adaptation", example="start=source")
    known = [name for name in ADAPTATION_RANGES if name != "method"]
    for name in values:
        if name not in known:
            raise UserError(
                f"adaptation has no option {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}."
            )
        if name not in (taken := options_of(method)):
            raise UserError(f"--adapt {method} does not take the option {name}. It takes {', '.join(taken)}.")
    return values


def make_adapter(
    checkpoint: "TrainedModel | str", options: argparse.Namespace, shift: ShiftRequest
) -> "Adapter | None":
    """Makes what adapts the model, where that is asked for.

    Args:
      checkpoint: the model, or where it is.
      options: of `motion-vit evaluate`.
      shift: may ask for adaptation.

    Returns:
      The adapter, or None.

    Raises:
      UserError: there are no statistics of these weights where the method takes some, or as `Adapter`.
    """
    if shift.adaptation is None:
        return None
    from motion_vit.training.adaptation.adapt_and_evaluate import Adapter
    from motion_vit.training.adaptation.source_statistics import read_source_statistics
    from motion_vit.zoo.load import as_trained

    trained = as_trained(checkpoint, which=options.which, ema=options.ema)
    statistics = None
    if shift.adaptation.method == "vitta":
        statistics = read_source_statistics(shift.statistics or statistics_file(options), trained)
    return Adapter(trained, shift.adaptation, statistics)


def evaluate_corrupted(
    checkpoint: "TrainedModel | str",
    options: argparse.Namespace,
    shift: ShiftRequest,
    clean: "CheckpointEvaluation",
    adapter: "Adapter | None",
) -> "Robustness":
    """Evaluates a model on corrupted videos, and tells of each result on standard error when it is there.

    Args:
      checkpoint: the model, or where it is.
      options: of `motion-vit evaluate`.
      shift: names corruptions.
      clean: the result on the videos as they are.
      adapter: adapts the model, where that is asked for.

    Returns:
      The results.

    Raises:
      UserError: as `evaluate_robustness`.
    """
    from motion_vit.training.parallel.processes import is_primary
    from motion_vit.training.robustness.robustness import evaluate_robustness

    def tell(result: "CorruptedResult") -> None:
        if result.corruption and is_primary():
            adapted = "" if result.adapted is None else f", adapted {100 * result.adapted.top1:.1f} %"
            print(
                f"{result.corruption}, severity {result.severity}: top-1 {100 * result.plain.top1:.1f} %{adapted}",
                file=sys.stderr,
            )

    return evaluate_robustness(
        checkpoint,
        options.data,
        shift.corruptions,
        shift.severities,
        clean=clean,
        adapter=adapter,
        seed=shift.seed,
        which=options.which,
        ema=options.ema,
        batch_size=options.batch_size,
        clips=options.clips,
        crops=options.crops,
        frame_order=options.frame_order,
        workers=options.workers,
        told=tell,
    )


def folder_of_checkpoint(given: str, *, named: pathlib.Path) -> pathlib.Path:
    """Finds the folder that files about a checkpoint lie in.

    Args:
      given: what `--checkpoint` names.
      named: the folder for checkpoints that have none, such as "demo"; it gets one of their name in it.

    Returns:
      The folder of the checkpoint, or one of its name.
    """
    import re

    from motion_vit.training.checkpoints.load_trained import is_checkpoint
    from motion_vit.training.checkpoints.packaged import packaged_checkpoints
    from motion_vit.zoo.hub import is_hub_name
    from motion_vit.zoo.table import published_weights

    checkpoint = pathlib.Path(given)
    if is_hub_name(given):
        return named / re.sub(r"[^\w.-]+", "-", given)
    has_no_folder = str(checkpoint) in packaged_checkpoints() or str(checkpoint) in published_weights()
    return named / checkpoint if has_no_folder and not is_checkpoint(checkpoint) else checkpoint


def statistics_file(options: argparse.Namespace) -> pathlib.Path:
    """Names the file of source statistics of a checkpoint, another one for each choice among its weights.

    Args:
      options: with what `add_checkpoint` defines.

    Returns:
      The file, beside the checkpoint.
    """
    chosen = "-best" if options.which == "best" else ""
    averaged = {None: "", True: "-ema", False: "-no-ema"}[options.ema]
    folder = folder_of_checkpoint(options.checkpoint, named=pathlib.Path("evaluation"))
    return folder / f"{_FILE}{chosen}{averaged}.safetensors"


def add_source_statistics(commands: Any) -> None:
    """Defines `motion-vit source-statistics`."""
    details = (
        "Means and variances of all channels behind its normalisation layers, on the videos that it was trained on. "
        "`evaluate --adapt vitta` aligns shifted videos with them."
    )
    parser = add_command(
        commands, "source-statistics", _source_statistics, "measure what a model makes of its training videos", details
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--data", required=True, metavar="DATA", help="training videos: prepared folder, FOLDER:SPLIT, or list file"
    )
    parser.add_argument(
        "--videos", type=whole(1, 10**9), metavar="N", help="so many, evenly spread over the data; default: all"
    )
    parser.add_argument(
        "--workers", type=whole_number(WORKERS), default=0, metavar="N", help="processes that decode; default: 0"
    )
    parser.add_argument(
        "--out", type=local_path, metavar="FILE", help=f"default: {_FILE}.safetensors beside the checkpoint"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _source_statistics(options: argparse.Namespace) -> int:
    from motion_vit.training.adaptation.source_statistics import source_statistics, write_source_statistics
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.zoo.load import as_trained

    enable_compilation_cache()
    file = options.out or statistics_file(options)
    with writing(file):  # before videos are measured for an hour
        if file.is_dir():
            raise UserError(f"--out {file} is a folder; give the name of a file.")
    trained = as_trained(options.checkpoint, which=options.which, ema=options.ema)
    statistics = source_statistics(trained, options.data, videos=options.videos, workers=options.workers)
    write_source_statistics(statistics, file)
    if options.json:
        found = {"videos": statistics.videos, "skipped": list(statistics.skipped), "layers": list(statistics.layers)}
        print_json({**found, "file": str(file)})
    else:
        for path in statistics.skipped:
            print(f"skipped, cannot be decoded: {for_terminal(path)}")
        layers = counted(len(statistics.layers), "normalisation layer")
        print(f"{layers} measured on {counted(statistics.videos, 'video')}\n{file}")
    return 0
