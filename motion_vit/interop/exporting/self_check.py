"""`self_check.json`: the logits or probabilities that an exported model must give for reproducible random clips.

The clips are `numpy.random.default_rng(seed).standard_normal(shape, dtype="float32")`, or pixels of
`integers(0, 256, shape, dtype="uint8")`. JAX computes the rest with the export's stored weights on the CPU, because
accelerators round the inputs of products.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_text
from motion_vit.files.json_file import read_json
from motion_vit.interop.exporting.inference_function import clips_shape, inference_function
from motion_vit.interop.exporting.interface import INPUTS, OUTPUTS, PLAIN, UNCERTAINTY, Input, Interface
from motion_vit.ops.platform import target_platform
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

SELF_CHECK_FILE = "self_check.json"

_SEED = 0
_INPUTS: Mapping[Input, str] = {
    "float32": 'numpy.random.default_rng(seed).standard_normal(shape, dtype="float32")',
    "uint8": 'numpy.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")',
}
_LEAST_TOLERANCE = 1e-6
"""That of probabilities, whose softmax is rounded."""
_CLIPS = 2
"""Clips of a check where the batch is symbolic: more than one, so that they can be mixed up."""


@dataclasses.dataclass(frozen=True)
class SelfCheck:
    """Random clips and the logits or probabilities that an export must give for them.

    Attributes:
      seed: of the clips.
      shape: of the clips, `[batch, frames, height, width, 3]`.
      outputs: JAX's results.
      tolerance: the largest absolute difference of an output that is accepted.
      interface: what the export takes and gives.
      uncertainty: the second output of a model that was trained with evidence, of each clip; None of others.
    """

    seed: int
    shape: tuple[int, ...]
    outputs: Float[np.ndarray, "b classes"]
    tolerance: float
    interface: Interface = PLAIN
    uncertainty: Float[np.ndarray, " b"] | None = None


def make_self_check(
    trained: TrainedModel,
    interface: Interface = PLAIN,
    *,
    batch: int | None,
    dtype: WeightDtype,
    tolerance: float,
    in_float32: bool,
) -> SelfCheck:
    """Computes what an export must give.

    Args:
      trained: a model with its weights.
      interface: what the export takes and gives.
      batch: clips per call of the export; None for any number.
      dtype: stored form of the weights.
      tolerance: largest accepted difference, in parts of the largest logit.
      in_float32: whether the export computes in float32 whatever the model's own dtype.

    Returns:
      Seed, shape, outputs and tolerance.

    Raises:
      UserError: JAX may not use the CPU.
    """
    shape = (batch or _CLIPS, *(size for size in clips_shape(trained.model, None)[1:] if size is not None))
    # The logits are compared in parts of the largest, so they are computed where probabilities are given, too.
    logits_of = jax.jit(inference_function(trained, Interface(interface.input), in_float32=in_float32))
    with jax.default_device(_cpu()), target_platform("cpu"):
        outputs, *others = logits_of(compress(trained.variables, dtype), draw_clips(_SEED, shape, interface.input))
        accepted = tolerance * float(np.abs(outputs).max())
        if interface.output == "probabilities":
            outputs = jax.nn.softmax(outputs)
            # The softmax changes by at most half of what logits do.
            accepted = max(_LEAST_TOLERANCE, accepted / 2)
    uncertain = np.asarray(others[0]) if others else None
    return SelfCheck(_SEED, shape, np.asarray(outputs), accepted, interface, uncertain)


def _cpu() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise UserError(
            "an export is checked on the CPU, which JAX may not use: JAX_PLATFORMS is "
            f"{os.environ.get('JAX_PLATFORMS')!r}. Unset it, or add cpu to it."
        ) from error


def draw_clips(
    seed: int, shape: tuple[int, ...], dtype: Input = "float32"
) -> Float[np.ndarray, "b t h w 3"] | UInt8[np.ndarray, "b t h w 3"]:
    """Draws the clips of a check."""
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape, dtype=np.float32)


def write_self_check(folder: pathlib.Path, check: SelfCheck) -> None:
    """Writes `self_check.json`.

    Args:
      folder: the export.
      check: content of the file.
    """
    values = {
        "seed": check.seed,
        "input": _INPUTS[check.interface.input],
        "dtype": check.interface.input,
        "shape": check.shape,
        check.interface.output: check.outputs.tolist(),
        **({} if check.uncertainty is None else {UNCERTAINTY: check.uncertainty.tolist()}),
        "tolerance": {"rtol": 0.0, "atol": check.tolerance},
    }
    write_text(folder / SELF_CHECK_FILE, json.dumps(values) + "\n")


def read_self_check(folder: pathlib.Path) -> SelfCheck:
    """Reads `self_check.json`.

    Args:
      folder: the export.

    Returns:
      Seed, shape, outputs and tolerance.

    Raises:
      UserError: the file is missing or damaged.
    """
    path = folder / SELF_CHECK_FILE
    try:
        values: dict[str, Any] = read_json(path)
        # Files of earlier versions name no dtype.
        interface = Interface(
            INPUTS[INPUTS.index(values.get("dtype", PLAIN.input))],
            next((name for name in OUTPUTS if name in values), PLAIN.output),
        )
        outputs = np.asarray(values[interface.output], np.float32)
        shape = tuple(map(int, values["shape"]))
        uncertain = np.asarray(values[UNCERTAINTY], np.float32) if UNCERTAINTY in values else None
        accepted = float(values["tolerance"]["atol"])
        return SelfCheck(int(values["seed"]), shape, outputs, accepted, interface, uncertain)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a folder of `motion-vit export`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error!r}. Export the model again.") from error
