"""`motion-vit predict`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from motion_vit.cli.arguments import (
    FAILED_STATUS,
    add_checkpoint,
    add_command,
    add_views,
    real_number,
    refusal,
    whole,
)
from motion_vit.cli.prediction_output import FORMATS, PredictionFormat, open_output
from motion_vit.counts import counted
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.ranges import Number

if TYPE_CHECKING:
    from motion_vit.training.inference.prediction import Prediction

_STANDARD_INPUT = "-"
_SECONDS = Number(0, MOST_SECONDS)


def add_predict(commands: Any) -> None:
    """Defines `motion-vit predict`."""
    details = "Exits with 1, after all others, if a video cannot be decoded, or its logits are NaN or infinite."
    parser = add_command(commands, "predict", _predict, "name the most probable classes of videos", details)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video file, folder of videos, folder of frames, list file (.csv), 'PATTERN', or - for a name a line on "
        "standard input",
    )
    add_checkpoint(parser)
    parser.add_argument("--top", type=_top, default=5, metavar="K", help="how many classes, or `all`; default: 5")
    parser.add_argument("--start", type=real_number(_SECONDS), default=0.0, metavar="SECONDS", help="default: 0")
    parser.add_argument(
        "--end", type=real_number(_SECONDS), metavar="SECONDS", help="where to stop; default: the end of each video"
    )
    add_views(parser)
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", dest="format", action="store_const", const="json", help="one document of JSON")
    formats.add_argument(
        "--jsonl", dest="format", action="store_const", const="jsonl", help="a line of JSON as soon as a video is done"
    )
    formats.add_argument(
        "--csv", dest="format", action="store_const", const="csv", help="a table with a row for each class"
    )
    parser.add_argument(
        "--out",
        type=local_path,
        metavar="FILE",
        help="write to a file; its ending .json, .jsonl or .csv chooses what, unless it is said",
    )


def _top(text: str) -> int | Literal["all"]:
    """Reads the number of classes."""
    if text == "all":
        return "all"
    try:
        return whole(1, 1_000_000)(text)
    except argparse.ArgumentTypeError:
        raise refusal(text, "a whole number from 1 to 1000000, or `all`") from None


def _predict(options: argparse.Namespace) -> int:
    from motion_vit.data.sources.named_videos import find_videos
    from motion_vit.data.workers.progress_bar import progress_bar
    from motion_vit.training.checkpoints.load_trained import load_trained
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.mesh import data_mesh

    found = find_videos(_names(options.videos), start=options.start, end=options.end)
    enable_compilation_cache()
    mesh = data_mesh()
    trained = load_trained(options.checkpoint, which=options.which, ema=options.ema, mesh=mesh)
    predictions = trained.predict_each(
        found,
        top=options.top,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        mesh=mesh,
    )
    chosen = _format(options)
    failed = []
    # On a terminal, answers that appear one by one show the progress themselves.
    shown = options.out is not None or chosen == "json" or not sys.stdout.isatty()
    with (
        open_output(options.out, chosen) as output,
        progress_bar(len(found), "predicting", "video", leave=False, shown=shown) as bar,
    ):
        for prediction in predictions:
            output.add(prediction)
            if prediction.failure:
                failed.append(prediction)
            bar.update()
    if options.out is not None:
        print(options.out)
    if failed:
        _report(failed, len(found))
    return FAILED_STATUS if failed else 0


def _format(options: argparse.Namespace) -> PredictionFormat:
    """Chooses how predictions are written: as is said, else by the ending of the file."""
    ending = "" if options.out is None else options.out.suffix.lower().removeprefix(".")
    return next((form for form in FORMATS if form == (options.format or ending)), "text")


def _names(given: Sequence[str]) -> Iterator[str]:
    """Yields the names of videos, with those of standard input in the place of `-`."""
    for name in given:
        if name != _STANDARD_INPUT:
            yield name
            continue
        # File names are bytes, and need not be text.
        lines = [line for line in sys.stdin.buffer.read().splitlines() if line.strip()]
        if not lines:
            raise UserError("- stands for names of videos on standard input, one a line, and there are none.")
        yield from map(os.fsdecode, lines)


def _report(failed: Sequence["Prediction"], videos: int) -> None:
    reasons = "\n".join(f"  {prediction.title}: {prediction.failure}" for prediction in failed)
    print(f"motion-vit: {len(failed)} of {counted(videos, 'video')} not classified:\n{reasons}", file=sys.stderr)
