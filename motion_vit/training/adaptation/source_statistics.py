"""Statistics of a model's normalisation layers on its source data: computed once, and stored beside the checkpoint."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, UInt8

from motion_vit.counts import counted
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.sources.clip_source import clip_name
from motion_vit.data.sources.unlabelled import open_unlabelled
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_path, make_folder
from motion_vit.training.adaptation.norm_layers import (
    LayerStatistics,
    apply_watching_norms,
    channel_statistics,
    unrolled,
)
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options

FORMAT = "motion_vit source statistics 1"
"""What the metadata of the file begins with."""


@dataclasses.dataclass(frozen=True, eq=False)
class SourceStatistics:
    """Statistics of every normalisation layer whose output has several places.

    Attributes:
      layers: mean and variance of each channel, by the path of the layer: means over clips of the means and of the
        biased variances within each clip. The variance between clips is in neither.
      weights: SHA-256 of the weights that they were computed with.
      data: name of the source.
      videos: number of its videos.
      skipped: names of those that could not be decoded; a file does not hold them.
    """

    layers: dict[str, LayerStatistics]
    weights: str
    data: str
    videos: int
    skipped: tuple[str, ...] = ()


def source_statistics(
    trained: TrainedModel, data: str | os.PathLike[str], *, videos: int | None = None, workers: int = 0
) -> SourceStatistics:
    """Computes the statistics of a model on the data that it was trained on, a clip at a time.

    Args:
      trained: the model, in evaluation mode. Each video gives the one clip that an evaluation takes.
      data: list file, prepared folder (its split `train`) or FOLDER:SPLIT; labels are not looked at, and a list file
        needs none.
      videos: number of videos, evenly spread over the source; None for all.
      workers: number of processes that decode.

    Returns:
      The statistics.

    Raises:
      UserError: the data cannot be read, no video can be decoded, or there is nothing to measure.
    """
    source = open_unlabelled(data)
    rows = np.linspace(0, len(source) - 1, min(videos or len(source), len(source))).round().astype(int)
    model, normalise = unrolled(trained.model), normalization(trained.config)

    @jax.jit
    def measure(variables: Any, clip: UInt8[jax.Array, "1 t h w 3"]) -> dict[str, LayerStatistics]:
        outputs = apply_watching_norms(model, variables, normalise(clip)).outputs
        return {layer: channel_statistics(output) for layer, output in outputs.items() if output.ndim > 2}

    # Sums of many small numbers, which float32 would round.
    sums: dict[str, list[Float[np.ndarray, " c"]]] = {}
    count, skipped = 0, []
    variables = jax.device_put(trained.variables, jax.devices()[0])
    batches = evaluation_batches(source, clip_options(trained.config), batch_size=1, workers=workers, rows=rows)
    with progress_bar(len(rows), "measuring", "video", leave=False, shown=True) as bar:
        for batch in batches:
            bar.update()
            if not batch["weight"][0]:
                skipped.append(clip_name(source, int(batch["index"][0])))
                continue
            for layer, measured in jax.device_get(measure(variables, batch["clip"])).items():
                earlier = sums.get(layer, [np.zeros(()), np.zeros(())])
                sums[layer] = [total + new.astype(np.float64) for total, new in zip(earlier, measured, strict=True)]
            count += 1
    if not count:
        raise UserError(f"none of the {counted(len(rows), 'video')} of {source.name} could be decoded.")
    if not sums:
        raise UserError(
            "no normalisation layer of the model has outputs at several places: there is nothing to measure."
        )
    layers = {
        layer: LayerStatistics(*((total / count).astype(np.float32) for total in totals))
        for layer, totals in sums.items()
    }
    return SourceStatistics(layers, weights_fingerprint(trained.variables), source.name, count, tuple(skipped))


def write_source_statistics(statistics: SourceStatistics, path: str | os.PathLike[str]) -> None:
    """Writes statistics to a file of safetensors.

    Args:
      statistics: to write.
      path: the file; it is replaced where it exists, and its folder is made where it does not.

    Raises:
      UnwritableError: it cannot be written.
    """
    arrays = {
        f"{layer}/{name}": np.ascontiguousarray(value)
        for layer, measured in statistics.layers.items()
        for name, value in measured._asdict().items()
    }
    about = {"weights": statistics.weights, "data": statistics.data, "videos": statistics.videos}
    order = json.dumps(list(statistics.layers))
    metadata = {"format": FORMAT, "layers": order, "about": json.dumps(about)}
    make_folder(pathlib.Path(path).parent)
    with atomic_path(path) as unfinished:
        try:
            safetensors.numpy.save_file(arrays, unfinished, metadata=metadata)
        except safetensors.SafetensorError as error:  # its name for what the system refuses
            raise OSError(str(error)) from error


def read_source_statistics(path: str | os.PathLike[str], trained: TrainedModel) -> SourceStatistics:
    """Reads statistics of a model.

    Args:
      path: file of `write_source_statistics`.
      trained: the model, whose weights they must be of.

    Returns:
      The statistics.

    Raises:
      UserError: there is no such file, it is no file of statistics, or of other weights.
    """
    found = pathlib.Path(path)
    compute = (
        "Compute them on the videos that the model was trained on: motion-vit source-statistics --checkpoint ... "
        "--data ..."
    )
    if not found.is_file():
        raise UserError(f"there are no source statistics in {found}. {compute}")
    try:
        statistics = _read(found)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{found} holds no source statistics ({error}). {compute}") from error
    if statistics.weights != weights_fingerprint(trained.variables):
        raise UserError(
            f"the source statistics in {found} are of other weights than these: of an earlier state of the run, or of "
            f"another of its checkpoints (--which, --ema). {compute}"
        )
    return statistics


def _read(path: pathlib.Path) -> SourceStatistics:
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its metadata does not name the format {FORMAT!r}")
        names, about = json.loads(metadata["layers"]), json.loads(metadata["about"])
        layers = {
            layer: LayerStatistics(*(file.get_tensor(f"{layer}/{name}") for name in LayerStatistics._fields))
            for layer in names
        }
    for layer, measured in layers.items():
        if any(array.ndim != 1 or array.dtype != np.float32 or not np.isfinite(array).all() for array in measured):
            raise ValueError(f"those of {layer} are not finite float32 vectors")
    return SourceStatistics(layers, str(about["weights"]), str(about["data"]), int(about["videos"]))
