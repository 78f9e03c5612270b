"""`motion-vit probe`."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from motion_vit.cli.arguments import add_checkpoint, add_command, add_views, real_number, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import WORKERS
from motion_vit.errors import UserError
from motion_vit.outside_text import for_terminal
from motion_vit.ranges import SEED
from motion_vit.training.probing.probe_ranges import NEIGHBORS, TEMPERATURE

if TYPE_CHECKING:
    from motion_vit.training.probing.probe import Probe


def add_probe(commands: Any) -> None:
    """Defines `motion-vit probe`."""
    details = (
        "Nothing of the model is trained: nearest neighbours or a linear classifier tell the classes of the data apart "
        "by what the model's own classifier is given."
    )
    parser = add_command(commands, "probe", _probe, "measure what a model's features are worth for other data", details)
    add_checkpoint(parser)
    parser.add_argument(
        "--data",
        required=True,
        metavar="DATA",
        help="videos whose classes are known: prepared folder (its split train), FOLDER:SPLIT, tfds:NAME, or list file",
    )
    parser.add_argument(
        "--validation", metavar="DATA", help="videos to classify; default: the split validation of a folder or set"
    )
    parser.add_argument(
        "--method",
        choices=["knn", "linear"],
        default="knn",
        help="nearest neighbours (default), or logistic regression",
    )
    parser.add_argument("--neighbors", type=whole_number(NEIGHBORS), metavar="K", help="of knn; default: 20")
    parser.add_argument(
        "--temperature",
        type=real_number(TEMPERATURE),
        metavar="T",
        help="of the votes of knn; default: 0.07",
    )
    parser.add_argument("--seed", type=whole_number(SEED), help="of linear: what the penalty is chosen on; default: 0")
    add_views(parser)
    parser.add_argument(
        "--workers", type=whole_number(WORKERS), default=0, metavar="N", help="processes that decode; default: 0"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _probe(options: argparse.Namespace) -> int:
    from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
    from motion_vit.training.probing.probe import probe_checkpoint

    methods = {"neighbors": "knn", "temperature": "knn", "seed": "linear"}
    chosen = {name: value for name in methods if (value := getattr(options, name)) is not None}
    for name in chosen:
        if methods[name] != options.method:
            raise UserError(f"--{name} belongs to --method {methods[name]}, not to {options.method}; leave it out.")
    enable_compilation_cache()
    result = probe_checkpoint(
        options.checkpoint,
        options.data,
        validation=options.validation,
        method=options.method,
        which=options.which,
        ema=options.ema,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
        workers=options.workers,
        **chosen,
    )
    if options.json:
        print_json(result.to_dict())
    else:
        _print(result)
    if note := result.interval_note():
        print(f"motion-vit: {note}", file=sys.stderr)
    return 0


def _print(result: "Probe") -> None:
    print(
        f"{result.method}: {counted(result.videos, 'video')} of {for_terminal(result.data)}, by "
        f"{counted(result.width, 'feature')} of the {counted(result.known, 'video')} of {for_terminal(result.training)}"
    )
    for name, value, (low, high) in (
        ("top-1", result.top1, result.top1_interval),
        ("mean of classes", result.mean_class, result.mean_class_interval),
    ):
        print(f"  {name}: {100 * value:.2f} %, 95 % of such samples give {100 * low:.1f} to {100 * high:.1f} %")
    if result.method == "knn":
        print(f"  {counted(int(result.settings['neighbors'] or 0), 'neighbour')} vote")
    elif result.settings["held_out_accuracy"] is None:
        print(f"  penalty {result.settings['penalty']:g}, because no class has a second video to choose it on")
    else:
        print(
            f"  penalty {result.settings['penalty']:g}, chosen on {result.settings['held_out']} of the training videos "
            f"({100 * result.settings['held_out_accuracy']:.1f} % of them right)"
        )
    for kind, paths in (("of the known videos", result.left_out), ("of those to classify", result.skipped)):
        for path in paths:
            print(f"left out {kind}, cannot be decoded: {for_terminal(path)}")
