"""Export as a Hugging Face repository: a weights folder whose model card has the Hub's metadata, ready to upload.

`motion_vit.load` reads the folder, before and after.
"""

import pathlib
from typing import Any

from motion_vit.interop.exporting.model_card import CARD_FILE
from motion_vit.interop.exporting.safetensors_folder import export_safetensors
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel


def export_huggingface(trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
    """Writes `model.safetensors`; the model card, which every export has, gets the Hub's metadata.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      dtype: stored form of the weights.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: the weights are not finite, or do not fit `dtype`.
    """
    entry = export_safetensors(trained, folder, dtype=dtype)
    return {**entry, "format": "huggingface", "card": CARD_FILE}
