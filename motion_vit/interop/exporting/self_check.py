"""`self_check.json`: the logits that an exported model must give for reproducible random clips.

The clips are `numpy.random.default_rng(seed).standard_normal(shape, dtype="float32")`. JAX computes the logits with the
export's stored weights on the CPU, because accelerators round the inputs of products.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_text
from motion_vit.files.json_file import read_json
from motion_vit.interop.exporting.inference_function import clips_shape, inference_function
from motion_vit.ops.platform import target_platform
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

SELF_CHECK_FILE = "self_check.json"

_SEED = 0
_INPUT = 'numpy.random.default_rng(seed).standard_normal(shape, dtype="float32")'
_CLIPS = 2
"""Clips of a check where the batch is symbolic: more than one, so that they can be mixed up."""


@dataclasses.dataclass(frozen=True)
class SelfCheck:
    """Random clips and the logits that an export must give for them.

    Attributes:
      seed: of the clips.
      shape: of the clips, `[batch, frames, height, width, 3]`.
      logits: JAX's results.
      tolerance: the largest absolute difference of a logit that is accepted.
    """

    seed: int
    shape: tuple[int, ...]
    logits: Float[np.ndarray, "b classes"]
    tolerance: float


def make_self_check(
    trained: TrainedModel, *, batch: int | None, dtype: WeightDtype, tolerance: float, in_float32: bool
) -> SelfCheck:
    """Computes the logits that an export must give.

    Args:
      trained: a model with its weights.
      batch: clips per call of the export; None for any number.
      dtype: stored form of the weights.
      tolerance: largest accepted difference, in parts of the largest logit.
      in_float32: whether the export computes in float32 whatever the model's own dtype.

    Returns:
      Seed, shape, logits and tolerance.

    Raises:
      UserError: JAX may not use the CPU.
    """
    shape = (batch or _CLIPS, *(size for size in clips_shape(trained.model, None)[1:] if size is not None))
    logits = jax.jit(inference_function(trained.model, in_float32=in_float32))
    with jax.default_device(_cpu()), target_platform("cpu"):
        expected = np.asarray(logits(compress(trained.variables, dtype), draw_clips(_SEED, shape)))
    return SelfCheck(_SEED, shape, expected, tolerance * float(np.abs(expected).max()))


def _cpu() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise UserError(
            "an export is checked on the CPU, which JAX may not use: JAX_PLATFORMS is "
            f"{os.environ.get('JAX_PLATFORMS')!r}. Unset it, or add cpu to it."
        ) from error


def draw_clips(seed: int, shape: tuple[int, ...]) -> Float[np.ndarray, "b t h w 3"]:
    """Draws the clips of a check."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def write_self_check(folder: pathlib.Path, check: SelfCheck) -> None:
    """Writes `self_check.json`.

    Args:
      folder: the export.
      check: content of the file.
    """
    values = {
        "seed": check.seed,
        "input": _INPUT,
        "shape": check.shape,
        "logits": check.logits.tolist(),
        "tolerance": {"rtol": 0.0, "atol": check.tolerance},
    }
    write_text(folder / SELF_CHECK_FILE, json.dumps(values) + "\n")


def read_self_check(folder: pathlib.Path) -> SelfCheck:
    """Reads `self_check.json`.

    Args:
      folder: the export.

    Returns:
      Seed, shape, logits and tolerance.

    Raises:
      UserError: the file is missing or damaged.
    """
    path = folder / SELF_CHECK_FILE
    try:
        values: dict[str, Any] = read_json(path)
        logits = np.asarray(values["logits"], np.float32)
        return SelfCheck(
            int(values["seed"]), tuple(map(int, values["shape"])), logits, float(values["tolerance"]["atol"])
        )
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a folder of `motion-vit export`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error!r}. Export the model again.") from error
