"""Exports trained models: `motion-vit export`.

An export is a folder, written atomically: the artefact of its format, `config.json`
(`motion_vit.training.checkpoints.model_description`, with an entry `export`), `self_check.json`
(`motion_vit.interop.exporting.self_check`), `preprocessing.json`, `example.py` and the model card `README.md`.
"""

import importlib.util
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import jax.numpy as jnp

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_text
from motion_vit.interop.exporting.example_script import EXAMPLE_FILE, example_script
from motion_vit.interop.exporting.formats import BATCH, FORMATS
from motion_vit.interop.exporting.huggingface import export_huggingface, write_transformers_config
from motion_vit.interop.exporting.interface import PLAIN, Interface
from motion_vit.interop.exporting.litert import export_litert
from motion_vit.interop.exporting.missing_package import missing_package
from motion_vit.interop.exporting.model_card import CARD_FILE, model_card
from motion_vit.interop.exporting.onnx_graph import export_onnx
from motion_vit.interop.exporting.preprocessing_file import PREPROCESSING_FILE, describe_preprocessing
from motion_vit.interop.exporting.pytorch import export_torch
from motion_vit.interop.exporting.safetensors_folder import export_safetensors
from motion_vit.interop.exporting.saved_model import export_saved_model
from motion_vit.interop.exporting.self_check import make_self_check, write_self_check
from motion_vit.interop.exporting.stablehlo import export_stablehlo
from motion_vit.interop.exporting.web_page import PAGE_FILE, web_page
from motion_vit.ranges import refusal
from motion_vit.training.checkpoints.model_description import description_of
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_config
from motion_vit.training.checkpoints.whole_folder import check_new_or_empty, whole_folder
from motion_vit.training.recipe.evidence import trained_evidence

Batch = int | Literal["symbolic"]

# Parts of the largest logit.
_TOLERANCE = 1e-4
# A model that computes in bfloat16 rounds to 8 bits after every operation, and compilers leave out different roundings.
_BFLOAT16_TOLERANCE = 0.05
# LiteRT rounds all constants to float16, the running statistics too; with weights of 8 bits it quantises activations.
# Measured were up to 0.0012 and 0.058 (docs/interop.md).
_LITERT_TOLERANCES: Mapping[WeightDtype, float] = {"float16": 0.005, "int8-weights": 0.1}


@runtime_checkable
class WeightsExporter(Protocol):
    """Writes weights into a folder and returns the entry `export` of `config.json`."""

    def __call__(self, trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
        """Exports weights."""
        ...


@runtime_checkable
class ProgramExporter(Protocol):
    """Writes a program into a folder and returns the entry `export` of `config.json`."""

    def __call__(
        self,
        trained: TrainedModel,
        folder: pathlib.Path,
        *,
        batch: int | None,
        dtype: WeightDtype,
        interface: Interface = PLAIN,
    ) -> dict[str, Any]:
        """Exports a program for `batch` clips per call, None for any number."""
        ...


WEIGHTS_EXPORTERS: Mapping[str, WeightsExporter] = {
    "safetensors": export_safetensors,
    "huggingface": export_huggingface,
    "torch": export_torch,
}
"""What writes the formats that hold weights alone, which any number of clips can be computed with."""

PROGRAM_EXPORTERS: Mapping[str, ProgramExporter] = {
    "stablehlo": export_stablehlo,
    "onnx": export_onnx,
    "savedmodel": export_saved_model,
    "tflite": export_litert,
}
"""What writes the formats that hold a program."""


def check_request(
    file_format: str,
    out: str | os.PathLike[str],
    *,
    batch: Batch | None = None,
    dtype: WeightDtype = "float32",
    interface: Interface = PLAIN,
    page: bool = False,
) -> None:
    """Checks a request before the export starts.

    Args:
      file_format: name of the format.
      out: folder to write.
      batch: clips per call, "symbolic" for any number; None for the format's default.
      dtype: stored form of the weights.
      interface: what the program takes and gives.
      page: whether a web page is asked for.

    Raises:
      UserError: the format is unknown, does not support the batch, the form of weights, the interface or a page, or
        lacks packages; or the folder is not empty.
    """
    if file_format not in FORMATS:
        raise UserError(f"unknown format {file_format!r}. The formats are: {', '.join(FORMATS)}.")
    chosen = FORMATS[file_format]
    if dtype not in chosen.dtypes:
        raise UserError(
            f"the format {file_format} has no weights of {dtype}. Give --dtype {' or '.join(chosen.dtypes)}."
        )
    if page and file_format != "onnx":
        raise UserError(f"a browser runs no {file_format}: --page is for --format onnx.")
    if chosen.batches == "any" and interface != PLAIN:
        raise UserError(
            f"the format {file_format} holds weights and no program that could take {interface.input} or give "
            f"{interface.output}: leave out --input and --output, or choose another --format."
        )
    if chosen.batches == "any" and batch is not None:
        raise UserError(f"the format {file_format} holds weights, which take any batch: leave out --batch.")
    if chosen.batches == "fixed" and batch == "symbolic":
        raise UserError(f"the format {file_format} needs a number of clips: give --batch 1.")
    if isinstance(batch, int) and not BATCH.holds(batch):
        raise UserError(f"{refusal('batch', batch, BATCH)}.")
    check_packages(file_format)
    check_new_or_empty(out)


def check_packages(file_format: str) -> None:
    """Checks that the packages of a format are installed.

    Args:
      file_format: name of the format.

    Raises:
      UserError: a package is missing; the message says what to install.
    """
    for package in FORMATS[file_format].packages:
        if importlib.util.find_spec(package) is None:
            raise missing_package(file_format, ModuleNotFoundError(name=package))


def export_model(
    trained: TrainedModel,
    file_format: str,
    out: str | os.PathLike[str],
    *,
    batch: Batch | None = None,
    dtype: WeightDtype = "float32",
    interface: Interface = PLAIN,
    page: bool = False,
) -> dict[str, Any]:
    """Exports a trained model.

    Args:
      trained: the model, of `motion_vit.training.checkpoints.load_trained`.
      file_format: a name of `FORMATS`.
      out: a new or empty folder.
      batch: clips per call, "symbolic" for any number; by default any number, or 1 where the format needs a fixed one.
      dtype: stored form of the weights. The computation is in float32, or in the model's own dtype.
      interface: what a program takes and gives.
      page: whether to add `index.html`, which runs an ONNX model in a browser.

    Returns:
      The content of `config.json`.

    Raises:
      UserError: as `check_request`; or the format cannot hold the model; or the folder cannot be written; or
        probabilities are asked of a model that was trained with evidence.
    """
    check_request(file_format, out, batch=batch, dtype=dtype, interface=interface, page=page)
    if interface.output == "probabilities" and trained_evidence(trained.config) is not None:
        raise UserError(
            "the model was trained with evidence, which is made of the mean logits of all views and cannot be made of "
            "probabilities: leave out --output. The program gives the uncertainty as a second output."
        )
    chosen = FORMATS[file_format]
    size = batch if isinstance(batch, int) else (1 if chosen.batches == "fixed" else None)
    with whole_folder(out) as folder:
        if file_format in WEIGHTS_EXPORTERS:
            entry = WEIGHTS_EXPORTERS[file_format](trained, folder, dtype=dtype)
        else:
            entry = PROGRAM_EXPORTERS[file_format](trained, folder, batch=size, dtype=dtype, interface=interface)
        content = write_config(folder, {**description_of(trained, dtype), "export": entry})
        if entry.get("transformers"):
            write_transformers_config(folder, trained, content)
        check = make_self_check(
            trained,
            interface,
            batch=size,
            dtype=dtype,
            tolerance=_tolerance(file_format, trained, dtype),
            in_float32=chosen.in_float32,
        )
        write_self_check(folder, check)
        description = describe_preprocessing(trained, size, interface)
        write_text(folder / PREPROCESSING_FILE, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / EXAMPLE_FILE, example_script(file_format))
        if page:
            write_text(folder / PAGE_FILE, web_page())
        write_text(
            folder / CARD_FILE,
            model_card(trained, dtype, file_format, interface, transformers=entry.get("transformers", False)),
        )
    return content


def _tolerance(file_format: str, trained: TrainedModel, dtype: WeightDtype) -> float:
    if file_format == "tflite" and dtype in _LITERT_TOLERANCES:
        return _LITERT_TOLERANCES[dtype]
    if not FORMATS[file_format].in_float32 and jnp.dtype(trained.model.dtype) != jnp.float32:
        return _BFLOAT16_TOLERANCE
    return _TOLERANCE
