"""Measures the accuracy of a trained model's exports on labelled videos, each run by its own runtime on the CPU.

    python benchmarks/export_accuracy.py build/demo/run --data build/demo/prepared --exports /tmp/exports

All exports see the same clips in the same order, sampled as in the recipe's `evaluation`. The first row is the model
itself. The others are compared with it: in accuracy, in the share of videos that get another class, and in the
difference of logits. Like the tolerances of self-checks, that difference is in parts of the largest logit of a batch.
"""

import argparse
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
from export_formats import BASELINE, Runtime, make_export

from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.evaluation.metrics import predicted_classes
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options

DEFAULT_FORMATS = ["onnx:int8-weights", "tflite", "tflite:float16", "tflite:int8-weights"]


class Accuracy(NamedTuple):
    """Accuracy of an export, and its difference from the model."""

    name: str
    top1: float
    otherwise: float
    typical_difference: float
    largest_difference: float


def classify(
    runtimes: list[Runtime], trained: TrainedModel, source: ClipSource, batch_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs all exports on every video.

    Args:
      runtimes: the exports; the others are compared with the first.
      trained: the exported model.
      source: labelled videos.
      batch_size: clips per call.

    Returns:
      Summed logits `[runtimes, videos, classes]`, labels `[videos]`, and for each batch the largest difference of a
      logit from the first runtime's in parts of its largest one, `[runtimes, batches]`.
    """
    settings = trained.config.evaluation
    normalise = normalization(trained.config)
    logits = np.zeros((len(runtimes), len(source), len(source.label_names)), np.float32)
    labels = np.zeros(len(source), np.int32)
    differences = []
    batches = evaluation_batches(
        source, clip_options(trained.config), batch_size=batch_size, clips=settings.clips, crops=settings.crops
    )
    for batch in batches:
        clips = np.asarray(normalise(batch["clip"]))
        counts = batch["weight"] > 0
        rows = batch["index"][counts]
        labels[rows] = batch["label"][counts]
        found = np.stack([runtime.call(clips)[1][counts] for runtime in runtimes])
        for total, output in zip(logits, found, strict=True):
            np.add.at(total, rows, output)
        differences.append(np.abs(found - found[0]).max(axis=(1, 2)) / np.abs(found[0]).max())
    return logits, labels, np.stack(differences, axis=1)


def accuracies(names: list[str], logits: np.ndarray, labels: np.ndarray, differences: np.ndarray) -> list[Accuracy]:
    """Computes a row for each export from the results of `classify`."""
    classes = predicted_classes(logits)
    return [
        Accuracy(name, np.mean(own == labels), np.mean(own != classes[0]), np.median(parts), parts.max())
        for name, own, parts in zip(names, classes, differences, strict=True)
    ]


def table(rows: list[Accuracy], videos: int) -> str:
    """Formats the results in Markdown."""
    lines = [
        f"{videos} videos; differences of logits are of a batch, in parts of its largest logit",
        "",
        "| export | top-1 | another class than JAX | median difference | largest difference |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {100 * row.top1:.2f} % | {100 * row.otherwise:.2f} % | {row.typical_difference:.1e} | "
        f"{row.largest_difference:.1e} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, exports, evaluates and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path, help="workdir of a training run, or a weights folder")
    parser.add_argument("--data", required=True, help="list file, prepared folder, or FOLDER:SPLIT")
    parser.add_argument("--formats", nargs="+", default=DEFAULT_FORMATS, metavar="FORMAT[:DTYPE]")
    parser.add_argument("--batch", type=int, default=16, help="clips of a call")
    parser.add_argument("--exports", type=pathlib.Path, help="where exports are kept; default: a temporary folder")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the processes that are started
    trained = load_trained(options.checkpoint)
    source = open_source(options.data, default_split="validation", label_names=trained.label_names)
    names = [BASELINE, *options.formats]
    shape = (options.batch, *trained.model.clip_shape)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.exports or pathlib.Path(temporary)
        folders = {name: folder / name.replace(":", "-") for name in names}
        for name in names:
            make_export(name, options.checkpoint, folders[name], options.batch)
        runtimes = [Runtime(name, folders[name], np.zeros(shape, np.float32)) for name in names]
        found = classify(runtimes, trained, source, options.batch)
        for runtime in runtimes:
            runtime.close()
    print(table(accuracies(names, *found), len(source)))


if __name__ == "__main__":
    main()
