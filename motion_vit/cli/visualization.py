"""`motion-vit visualize`."""

import argparse
import math
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import (
    CHECKPOINT_HELP,
    add_command,
    add_weights_choice,
    model_options,
    real_number,
    refusal,
    whole_number,
)
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import CLIPS
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal
from motion_vit.ranges import Number

if TYPE_CHECKING:
    from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
    from motion_vit.training.checkpoints.trained_model import TrainedModel

# Written out, so that `--help` need not import what draws; a test compares them with the library's.
_WHAT = (
    "motion",
    "cost_volume",
    "attention",
    "cam",
    "grad-cam",
    "integrated-gradients",
    "occlusion",
    "prompt",
    "m2a",
)
_FORMATS = ("png", "gif", "mp4", "npz", "html")
_DEFAULT_FORMATS = ("png", "npz", "html")


def add_visualize(commands: Any) -> None:
    """Defines `motion-vit visualize`."""
    details = (
        "Draws where each patch goes (EMIM's cost volumes), attention, class activation, motion prompts and M2A's "
        "gates over the frames of a video, and writes a page to explore them. Of a pretrained run it draws input, mask "
        "and reconstruction."
    )
    parser = add_command(commands, "visualize", _visualize, "show what a model sees in a video", details)
    parser.add_argument("video", nargs="?", metavar="VIDEO")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", metavar="DIR", help=CHECKPOINT_HELP)
    source.add_argument(
        "--model",
        metavar="NAME",
        help="a model with random weights, to try it out; OPTION=VALUE, such as frames=8, are options of it",
    )
    # Filled with the arguments of the form OPTION=VALUE, wherever they stand.
    parser.set_defaults(options=[])
    add_weights_choice(parser)
    parser.add_argument("--out", type=local_path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--start",
        type=real_number(Number(0, MOST_SECONDS)),
        metavar="SECONDS",
        help="where in the video the clip starts; default: its middle, or frames spread over it",
    )
    parser.add_argument(
        "--clip",
        type=whole_number(CLIPS),
        metavar="N",
        help="instead, the N-th, from 1, of the clips that evaluation spreads over the video",
    )
    parser.add_argument(
        "--clips", type=whole_number(CLIPS), metavar="M", help="how many these are; default: the recipe's"
    )
    parser.add_argument(
        "--what",
        type=_choices(_WHAT),
        default=(),
        metavar="LIST",
        help=f"of {','.join(_WHAT)}; default: all that the model has and that takes a single forward pass",
    )
    parser.add_argument(
        "--format",
        type=_choices(_FORMATS),
        default=_DEFAULT_FORMATS,
        metavar="LIST",
        help=f"of {','.join(_FORMATS)}; default: {','.join(_DEFAULT_FORMATS)}",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a layer such as stage3/block0, or several such as 'stage4/*'; may be given several times; default: all",
    )
    parser.add_argument("--patch", type=_place, metavar="Y,X", help="the patch at this pixel of the video")
    parser.add_argument(
        "--class",
        dest="classes",
        default="",
        metavar="NAME[,OTHER]",
        help="of maps of classes: a class, or two to compare; default: the most probable ones",
    )
    parser.add_argument(
        "--temperature",
        type=real_number(Number(0, 1_000_000, above=True)),
        default=1.0,
        metavar="T",
        help="of motion: below 1, sharper displacements",
    )
    parser.add_argument("--list", action="store_true", help="print the names of all intermediates and leave")
    parser.usage = (
        "motion-vit visualize VIDEO --checkpoint DIR --out DIR [--start SECONDS | --clip N] [--what LIST] ...\n"
        "       motion-vit visualize VIDEO --model NAME [OPTION=VALUE ...] --out DIR ...\n"
        "       motion-vit visualize (--checkpoint DIR | --model NAME) --list"
    )


def _visualize(options: argparse.Namespace) -> int:
    from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
    from motion_vit.training.checkpoints.whole_folder import check_can_be_made
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.visualization.clip_choice import ClipChoice

    _sort_words(options)
    if not options.list:
        if options.video is None or options.out is None:
            raise UserError("a VIDEO and --out DIR are needed; --list alone goes without.")
        check_can_be_made(options.out)
        ClipChoice(options.start, options.clip, options.clips)
    enable_compilation_cache()
    trained = _read_model(options)
    if isinstance(trained, PretrainedRun):
        return _draw_reconstruction(trained, options)
    if options.list:
        _print_names(trained)
        return 0
    from motion_vit.visualization.output_files import write_folder
    from motion_vit.visualization.visualize import visualize

    print(f"computing: {trained.config.model.name}, {for_terminal(options.video)}", flush=True)
    visualization = visualize(
        trained,
        options.video,
        start=options.start,
        clip=options.clip,
        clips=options.clips,
        what=options.what,
        layers=options.layer,
        point=options.patch,
        classes=options.classes,
        temperature=options.temperature,
        has_random_weights=options.model is not None,
    )
    for line in visualization.notes:
        print(line)
    print(f"drawing {counted(len(visualization.maps), 'map')}", flush=True)
    print("\n".join(map(str, write_folder(visualization, options.out, options.format))))
    return 0


def _sort_words(options: argparse.Namespace) -> None:
    """Separates the video from the model's options: argparse takes the first word for the video, whatever it is.

    Raises:
      UserError: there are several words that are no options, or the only one is no file.
    """
    words = [word for word in (options.video, *options.options) if word is not None]
    options.options = [word for word in words if "=" in word and not pathlib.Path(word).exists()]
    others = [word for word in words if word not in options.options]
    form = "An option of a model is written OPTION=VALUE, such as frames=8."
    if len(others) > 1:
        raise UserError(f"one VIDEO is expected, but these are given: {', '.join(map(repr, others))}. {form}")
    if others and not pathlib.Path(others[0]).exists():
        raise UserError(f"the VIDEO {others[0]!r} does not exist. {form}")
    options.video = others[0] if others else None


def _draw_reconstruction(run: "PretrainedRun", options: argparse.Namespace) -> int:
    """Draws what a masked autoencoder predicts, which has no other maps."""
    from motion_vit.visualization.reconstruction import reconstruct

    of_classifiers = {
        "--what": options.what,
        "--layer": options.layer,
        "--patch": options.patch,
        "--class": options.classes,
        "--list": options.list,
        "--format": options.format != _DEFAULT_FORMATS,
    }
    if given := [name for name, value in of_classifiers.items() if value]:
        raise UserError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for classifiers. {options.checkpoint} was "
            "pretrained: a picture and arrays of its reconstruction are written. Leave it out."
        )
    print(f"computing: {run.config.model.name}, {for_terminal(options.video)}", flush=True)
    found = reconstruct(run, options.video, start=options.start, clip=options.clip, clips=options.clips)
    print(f"{100 * found.mask_ratio:.0f} % hidden, loss {found.loss:.4f}")
    print("\n".join(map(str, found.write(options.out))))
    return 0


def _read_model(options: argparse.Namespace) -> "TrainedModel | PretrainedRun":
    if options.checkpoint:
        from motion_vit.zoo.load import load_any

        if options.options:
            raise UserError(f"{options.options[0]!r} is an option of --model; a checkpoint knows its own.")
        return load_any(options.checkpoint, which=options.which, ema=options.ema)
    from motion_vit.visualization.random_model import random_model

    return random_model(options.model, model_options(options.options))


def _print_names(trained: "TrainedModel") -> None:
    from motion_vit.visualization.recording import names

    shapes = names(trained.model)
    width = max(map(len, shapes))
    for name, shape in shapes.items():
        print(f"{name:<{width}}  {list(shape.shape)}")


def _choices(allowed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Makes a parser of a comma-separated list of words."""

    def read(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(text.split(",")))
        for word in words:
            if word not in allowed:
                raise refusal(word, f"one of {', '.join(allowed)}")
        return words

    return read


def _place(text: str) -> tuple[float, float]:
    """Reads `Y,X`."""
    try:
        y, x = (float(part) for part in text.split(","))
    except ValueError:
        y, x = math.nan, math.nan
    if not (math.isfinite(y) and math.isfinite(x)):
        raise refusal(text, "a place Y,X in pixels, such as 120,64")
    return y, x
