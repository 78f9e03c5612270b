"""Export as StableHLO: one file for CPU, NVIDIA GPU and TPU, which JAX calls without the model's code.

For every operator, the file holds the best implementation on each platform; the compiler chooses among them.

Compatibility (https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees): later versions of JAX read
the file for six months. Versions up to three weeks older than the writer read it, too. From jax 0.11.1 on, a file
beyond that is refused. Keep weights for years with `--format safetensors`, and export anew from there. The program
holds no custom calls, which the guarantee would not cover.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from motion_vit.files.atomic_file import write_bytes
from motion_vit.interop.exporting.inference_function import abstract_clips, graph_entry, inference_function
from motion_vit.interop.exporting.interface import PLAIN, Interface
from motion_vit.ops.platform import target_platform
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

STABLEHLO_FILE = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")


def export_stablehlo(
    trained: TrainedModel, folder: pathlib.Path, *, batch: int | None, dtype: WeightDtype, interface: Interface = PLAIN
) -> dict[str, Any]:
    """Writes `model.stablehlo`, which `jax.export.deserialize(data).call(clips)` runs. Of two outputs it gives a tuple.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      batch: clips per call; None for any number.
      dtype: stored form of the weights.
      interface: what the program takes and gives.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: the weights are not finite, or do not fit `dtype`.
    """
    stored = compress(trained.variables, dtype)
    infer = inference_function(trained, interface)

    @jax.jit
    def classify(clips: jax.Array) -> jax.Array | tuple[jax.Array, ...]:
        # Arrays of NumPy would be widened now, and the file would hold them so.
        outputs = infer({path: jnp.asarray(array) for path, array in stored.items()}, clips)
        return outputs if len(outputs) > 1 else outputs[0]

    with target_platform("any"):
        exported = export.export(classify, platforms=PLATFORMS)(abstract_clips(trained.model, batch, interface))
    path = folder / STABLEHLO_FILE
    write_bytes(path, exported.serialize())
    return {
        **graph_entry(trained, "stablehlo", path, batch, dtype, interface),
        "platforms": PLATFORMS,
        "calling_convention_version": exported.calling_convention_version,
        "jax_version": jax.__version__,
    }
