"""`motion-vit stream`."""

import argparse
import contextlib
import re
from typing import Any

from motion_vit.cli.arguments import (
    add_checkpoint,
    add_command,
    add_segment_rules,
    real_number,
    seconds,
    segment_rules,
    whole,
    whole_number,
)
from motion_vit.cli.json_output import json_text
from motion_vit.data.batches.batch_ranges import CLIPS, CROPS
from motion_vit.ranges import Number

_CAMERA = re.compile(r"\d{1,4}")


def add_stream(commands: Any) -> None:
    """Defines `motion-vit stream`."""
    details = (
        "Classifies overlapping windows as they come, and prints a line for each window and for each label that begins "
        "or ends. Ctrl-C stops it."
    )
    parser = add_command(
        commands, "stream", _stream, "say what happens in a camera or a stream", details, addresses=("source",)
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="number of a camera, http://, https:// or rtsp:// address, or video file"
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--window", type=seconds, required=True, metavar="SECONDS", help="length of a window, such as 2s"
    )
    parser.add_argument(
        "--hop", type=seconds, metavar="SECONDS", help="from a window to the next; default: a quarter of a window"
    )
    add_segment_rules(parser)
    parser.add_argument("--seconds", type=seconds, metavar="SECONDS", help="stop at this second of the stream")
    parser.add_argument("--jsonl", action="store_true", help="a line of JSON for each event")
    parser.add_argument(
        "--segments", action="store_true", help="print where labels begin and end, and not every window"
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="a file that grows has ended after as long without new bytes; default: 0, take it as it is",
    )
    parser.add_argument(
        "--timeout",
        type=real_number(Number(0, 86_400, above=True)),
        default=10.0,
        metavar="SECONDS",
        help="of addresses: wait as long for a connection or a piece; default: 10",
    )
    parser.add_argument(
        "--attempts",
        type=whole(0, 1_000_000),
        default=5,
        metavar="N",
        help="of addresses: connect again as often in a row; default: 5",
    )
    parser.add_argument(
        "--drop",
        action=argparse.BooleanOptionalAction,
        help="leave windows out where the model is slower; default: for cameras and addresses",
    )
    parser.add_argument(
        "--clips", type=whole_number(CLIPS), metavar="N", help="clips of each window; default: the recipe's"
    )
    parser.add_argument(
        "--crops", type=whole_number(CROPS), metavar="{1,3}", help="crops of each clip; default: the recipe's"
    )


def _stream(options: argparse.Namespace) -> int:
    from motion_vit.training.evaluation.streaming import check_stream, stream
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.parallel.mesh import data_mesh
    from motion_vit.zoo.load import load

    source = int(options.source) if _CAMERA.fullmatch(options.source) else options.source
    reading = {"wait": options.wait, "timeout": options.timeout, "attempts": options.attempts}
    # Wrong ones are told before a model is loaded.
    check_stream(source, window=options.window, hop=options.hop, seconds=options.seconds, **reading)
    rules = segment_rules(options)
    enable_compilation_cache()
    mesh = data_mesh()
    events = stream(
        source,
        load(options.checkpoint, which=options.which, ema=options.ema, mesh=mesh),
        window=options.window,
        hop=options.hop,
        rules=rules,
        seconds=options.seconds,
        drop=options.drop,
        clips=options.clips,
        crops=options.crops,
        mesh=mesh,
        **reading,
    )
    with contextlib.closing(events):
        for event in events:
            if not options.segments or event.kind != "window":
                text = json_text(event.to_dict(), indent=None) if options.jsonl else f"{event}\n"
                print(text, end="", flush=True)
    return 0
