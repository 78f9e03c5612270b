"""`motion-vit export`."""

import argparse
import pathlib
from typing import Any

from motion_vit.cli.arguments import CHECKPOINT_HELP, add_command, add_weights_choice, whole_number
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.interop.exporting.formats import BATCH, FORMATS, WEIGHT_DTYPES
from motion_vit.interop.exporting.interface import INPUTS, OUTPUTS, PLAIN, Interface

DIFFERS_STATUS = 1
"""Exit status of a verification that found other logits than JAX's."""

_MEGABYTE = 1e6


def add_export(commands: Any) -> None:
    """Defines `motion-vit export`."""
    details = (
        "DIR gets the artefact, config.json (the model), preprocessing.json (how videos become inputs), example.py "
        "(classifies videos), README.md and self_check.json (what it must give). Exit status 1 if --verify finds a "
        "difference."
    )
    parser = add_command(commands, "export", _export, "write a trained model for another framework", details)
    parser.add_argument("folder", nargs="?", metavar="CHECKPOINT", help="the same as --checkpoint")
    parser.add_argument("--checkpoint", metavar="DIR", help=CHECKPOINT_HELP)
    parser.add_argument("--format", required=True, choices=list(FORMATS), metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--out", required=True, type=local_path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--batch",
        type=_batch,
        metavar="symbolic|N",
        help="clips of a call, of formats that hold a program; default: symbolic, any number (tflite: 1)",
    )
    parser.add_argument(
        "--dtype",
        choices=WEIGHT_DTYPES,
        default="float32",
        metavar="DTYPE",
        help=f"how weights are stored: {', '.join(WEIGHT_DTYPES)}; the computation stays as it is; default: float32",
    )
    parser.add_argument(
        "--input",
        choices=INPUTS,
        default=PLAIN.input,
        metavar="INPUT",
        help="what a program takes: float32, normalised clips, or uint8, RGB from 0 to 255; default: float32",
    )
    parser.add_argument(
        "--output",
        choices=OUTPUTS,
        default=PLAIN.output,
        metavar="OUTPUT",
        help="what a program gives: logits, or probabilities, their softmax; default: logits",
    )
    parser.add_argument("--page", action="store_true", help="add index.html, which runs an onnx model in a browser")
    parser.add_argument("--verify", action="store_true", help="run the export in its own runtime and compare")
    parser.add_argument(
        "--push", metavar="owner/name", help="upload a huggingface export to the Hugging Face hub, as HF_TOKEN allows"
    )
    add_weights_choice(parser)


def _batch(text: str) -> int | str:
    if text == "symbolic":
        return text
    try:
        return whole_number(BATCH)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or the word symbolic") from error


def _export(options: argparse.Namespace) -> int:
    from motion_vit.interop.exporting.export import check_request, export_model
    from motion_vit.interop.exporting.hub_upload import check_upload, upload_folder
    from motion_vit.interop.exporting.verification import verify
    from motion_vit.zoo.load import load

    if (options.folder is None) == (options.checkpoint is None):
        raise UserError("export takes one checkpoint: give --checkpoint DIR, once.")
    interface = Interface(options.input, options.output)
    request = {"batch": options.batch, "dtype": options.dtype, "interface": interface, "page": options.page}
    check_request(options.format, options.out, **request)
    if options.push is not None:
        check_upload(options.push, options.format)
    trained = load(options.checkpoint or options.folder, which=options.which, ema=options.ema)
    description = export_model(trained, options.format, options.out, **request)
    name = description["export"]["file"]
    print(
        f"{options.out / name}: {_size(options.out / name) / _MEGABYTE:.1f} MB, weights in {options.dtype}", flush=True
    )
    if options.verify:
        verification = verify(options.out)
        print(verification)
        if not verification.agrees:
            return DIFFERS_STATUS
    if options.push is not None:
        print(upload_folder(options.out, options.push))
    return 0


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
