"""Export as a repository for the Hugging Face hub.

A model that the library transformers has, too, is written in its form: `config.json`, `preprocessor_config.json` and
weights in its names, which `AutoModelForVideoClassification.from_pretrained` loads. `config.json` then also holds this
library's own description. Any other model is written as a weights folder. `motion_vit.load` reads both, before and
after an upload.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.numpy

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_path, write_text
from motion_vit.files.json_text import json_text
from motion_vit.interop.exporting.model_card import CARD_FILE
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.exporting.safetensors_folder import export_safetensors
from motion_vit.interop.families.huggingface import OWN_DESCRIPTION, PROCESSOR_FILE, HuggingFaceForm
from motion_vit.interop.families.registry import model_family
from motion_vit.training.checkpoints.model_description import CONFIG_FILE
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress
from motion_vit.training.checkpoints.weights_folder import WEIGHTS_FILE


def export_huggingface(trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
    """Writes `model.safetensors`; the model card, which every export has, gets the Hub's metadata.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      dtype: stored form of the weights.

    Returns:
      The entry `export` of `config.json`; its `transformers` tells whether that library loads the folder.

    Raises:
      UserError: the weights are not finite, or do not fit `dtype`.
    """
    form = transformers_form(trained, dtype)
    if form is None:
        entry = export_safetensors(trained, folder, dtype=dtype)
    else:
        _write_weights(folder / WEIGHTS_FILE, trained, dtype, form)
        entry = {"dtype": dtype, "file": WEIGHTS_FILE}
    return {**entry, "format": "huggingface", "card": CARD_FILE, "transformers": form is not None}


def transformers_form(trained: TrainedModel, dtype: WeightDtype) -> HuggingFaceForm | None:
    """Finds the form that transformers has for a model.

    Args:
      trained: the model, and how it takes clips.
      dtype: stored form of the weights.

    Returns:
      The form; None where it has no such network, takes no such colours, or reads no such weights.
    """
    try:
        form = model_family(trained.model).huggingface
    except UserError:  # nothing foreign is known of such models
        return None
    if form is None or dtype == "int8-weights" or trained.config.data.channel_order != "rgb":
        return None
    return None if form.inexpressible(trained.model) else form


def write_transformers_config(folder: pathlib.Path, trained: TrainedModel, description: Mapping[str, Any]) -> None:
    """Writes `config.json` and `preprocessor_config.json` as transformers reads them.

    Args:
      folder: of an export, with the weights.
      trained: the model, which has a `transformers_form`.
      description: this library's own, with the checksum of the weights; `config.json` will hold it, too.

    Raises:
      UnwritableError: the disk is full or refuses.
    """
    form = model_family(trained.model).huggingface
    assert form is not None  # the model has one
    labels = {str(number): name for number, name in enumerate(trained.label_names)}
    config = {
        "model_type": form.model_type,
        "architectures": [form.classifier],
        "dtype": description["weights_dtype"],
        **form.config(trained.model),
        "id2label": labels,
        "label2id": {name: int(number) for number, name in labels.items()},
        "export": description["export"],
        OWN_DESCRIPTION: description,
    }
    size = trained.model.image_size
    processor = {
        "image_processor_type": form.processor,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 2,  # bilinear
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "offset": False,  # ViViT's processor takes 1 off otherwise
        "do_normalize": True,
        "image_mean": list(trained.config.data.mean),
        "image_std": list(trained.config.data.std),
    }
    write_text(folder / CONFIG_FILE, json_text(config))
    write_text(folder / PROCESSOR_FILE, json_text(processor))


def _write_weights(path: pathlib.Path, trained: TrainedModel, dtype: WeightDtype, form: HuggingFaceForm) -> None:
    arrays = form.names(torch_state_dict(trained.model, compress(trained.variables, dtype), trained.step))
    with atomic_path(path) as unfinished:
        try:
            # What transformers looks for, to know the layouts.
            safetensors.numpy.save_file(arrays, unfinished, metadata={"format": "pt"})
        except safetensors.SafetensorError as error:  # its name for what the system refuses
            raise OSError(str(error)) from error
