"""`motion-vit import`."""

import argparse
import pathlib
from typing import Any

from motion_vit.cli.arguments import add_command, model_options, whole_number
from motion_vit.cli.json_output import print_json
from motion_vit.data.batches.batch_ranges import STRIDE
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.ranges import SEED


def add_import(commands: Any) -> None:
    """Defines `motion-vit import`."""
    details = (
        "Writes a weights folder that evaluate, predict and export take as a checkpoint and train takes as "
        "initial_weights, with import_report.json: what became of every weight. Unless told otherwise, source and "
        "model must hold exactly the same weights. Nothing in the file is executed."
    )
    parser = add_command(commands, "import", _import, "turn weights of another framework into a checkpoint", details)
    parser.add_argument("source", metavar="SOURCE", help="a .pyth, .pth, .pt, .bin, .safetensors or .npz")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="of the model, such as frames=32 window=5")
    parser.add_argument("--model", required=True, metavar="NAME", help="such as uniformer_emim_s")
    parser.add_argument("--out", required=True, type=local_path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--labels",
        type=local_path,
        metavar="FILE",
        help="the classes in the order of the logits: one name a line, or JSON: a list, or names and numbers; or the "
        "name of a list that is installed, such as kinetics600",
    )
    parser.add_argument(
        "--new",
        action="append",
        default=[],
        metavar="PART",
        help="start a part of the model anew: head, for other classes; motion, what only EMIM, cost volumes and motion "
        "modules have; temporal, TimeSformer's attention over time, as a copy of that within frames; prompt, motion "
        "prompts; may be given several times",
    )
    parser.add_argument(
        "--inflate",
        choices=["average", "center", "repeat"],
        help="take image weights: repeat their kernels over time and divide, as UniFormer does, put them at the "
        "middle frame, or repeat and do not divide, as M2A's I3D does",
    )
    parser.add_argument(
        "--resize",
        action="store_true",
        help="take position and time embeddings that were learned for clips of another size or length, by their "
        "nearest entries, and tables of relative positions, linearly",
    )
    parser.add_argument(
        "--state",
        metavar="ENTRY",
        help="which entry of the file to take, such as model_ema; default: the weights rather than their averages",
    )
    parser.add_argument(
        "--partial", action="store_true", help="leave at its initial value whatever does not fit, and drop the rest"
    )
    _add_clips(parser)
    parser.add_argument("--seed", type=whole_number(SEED), default=0, help="of initial values; default: 0")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.usage = "motion-vit import SOURCE --model NAME --out DIR [OPTION=VALUE ...] [--labels FILE] [...]"


def _add_clips(parser: argparse.ArgumentParser) -> None:
    """Defines the preprocessing that the weights expect, which is recorded with them."""
    parser.add_argument(
        "--channel-order",
        choices=["rgb", "bgr"],
        help="in which the weights take colours; default: as the authors' code read the dataset with as many classes "
        "(UniFormer's and TimeSformer's of Something-Something bgr, others rgb)",
    )
    parser.add_argument(
        "--mean", metavar="R,G,B", help="of red, green and blue in [0, 1]; default: 0.45 each; ResNet: ImageNet's"
    )
    parser.add_argument("--std", metavar="R,G,B", help="default: 0.225 each; ResNet: ImageNet's")
    parser.add_argument(
        "--sampling",
        choices=["segment", "dense"],
        help="of frames; default: segment, but dense for weights of UniFormer and TimeSformer with 400, 600 or 700 "
        "classes (Kinetics)",
    )
    parser.add_argument(
        "--stride", type=whole_number(STRIDE), metavar="N", help="frames between sampled ones, for dense"
    )


def _import(options: argparse.Namespace) -> int:
    from motion_vit.interop.importing.import_weights import import_weights

    clips = {
        "channel_order": options.channel_order,
        "mean": _colours("--mean", options.mean),
        "std": _colours("--std", options.std),
        "sampling": options.sampling,
        "stride": options.stride,
    }
    imported = import_weights(
        _weights_file(options.source),
        options.model,
        options.out,
        options=model_options(options.options),
        label_names=_label_names(options.labels) if options.labels else None,
        clips={name: value for name, value in clips.items() if value is not None},
        anew=options.new,
        inflation=options.inflate,
        resize=options.resize,
        state=options.state,
        strict=not options.partial,
        seed=options.seed,
    )
    if options.json:
        print_json(imported.to_dict())
    else:
        print(imported)
    return 0


def _weights_file(source: str) -> str:
    """Refuses what needs no import: published weights, repositories of the hub and folders that are checkpoints."""
    from motion_vit.interop.importing.huggingface_folder import is_hugging_face_folder
    from motion_vit.training.checkpoints.load_trained import is_checkpoint
    from motion_vit.zoo.hub import is_hub_name
    from motion_vit.zoo.table import published_weights

    path = pathlib.Path(source)
    is_name = is_hub_name(source) or (source in published_weights() and not path.exists())
    if is_name or is_checkpoint(path) or is_hugging_face_folder(path):
        raise UserError(
            f"{source} needs no import: --checkpoint, initial_weights and motion_vit.load take it as it is."
        )
    return source


def _label_names(source: pathlib.Path) -> tuple[str, ...]:
    """Reads a file of names of classes, or the installed list of that name."""
    from motion_vit.interop.importing.label_file import read_label_file
    from motion_vit.zoo.table import named_labels

    is_name = not source.exists() and source.name == str(source) and not source.suffix
    return read_label_file(named_labels(str(source)) if is_name else source)


def _colours(flag: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise UserError(f"{flag} is {text!r}, but must be three numbers, of red, green and blue: 0.45,0.45,0.45.")
    return values
