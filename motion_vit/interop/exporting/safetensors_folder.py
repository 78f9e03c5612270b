"""Export as a weights folder: the durable form, which this library reads back.

Format: https://huggingface.co/docs/safetensors. `motion_vit.training.checkpoints.weights_folder` describes the content.
"""

import pathlib
from typing import Any

from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import WEIGHTS_FILE, write_weights


def export_safetensors(trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
    """Writes `model.safetensors`.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      dtype: stored form of the weights.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: the weights are not finite, or do not fit `dtype`.
    """
    write_weights(folder / WEIGHTS_FILE, trained, dtype)
    return {"format": "safetensors", "dtype": dtype, "file": WEIGHTS_FILE}
