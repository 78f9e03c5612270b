"""The durable form of a trained model: a folder with `config.json` and `model.safetensors`.

This library reads it whatever becomes of JAX's and Orbax's formats, and so does anything that reads safetensors.
Tensors are named by their "/"-joined path, which begins with the collection: `params/head/kernel`,
`batch_stats/norm/mean`. Nothing in it can be executed, sizes are compared with the model's before anything is read, and
the file of weights with the checksum in `config.json`.
"""

import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jax.sharding import Mesh

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_path, write_text
from motion_vit.training.checkpoints.checksums import Checksum, damage
from motion_vit.training.checkpoints.errors import check_same_model
from motion_vit.training.checkpoints.model_description import (
    CONFIG_FILE,
    description_of,
    read_description,
    with_checksums,
)
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import check_finite, compress, expand, stored_shapes
from motion_vit.training.checkpoints.whole_folder import whole_folder
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import is_primary

WEIGHTS_FILE = "model.safetensors"

_logger = logging.getLogger(__name__)

_DTYPES = {"F32": jnp.float32, "F16": jnp.float16, "BF16": jnp.bfloat16, "I8": jnp.int8}


def write_weights_folder(
    folder: str | os.PathLike[str],
    trained: TrainedModel,
    *,
    dtype: WeightDtype = "float32",
    files: Mapping[str, str] | None = None,
) -> None:
    """Writes a trained model as a weights folder, atomically.

    Args:
      folder: a new or empty folder.
      trained: weights, labels and recipe.
      dtype: stored form of the weights.
      files: further text files, name -> content.

    Raises:
      UserError: the folder is not empty, the disk is full or refuses, or the weights are not finite or do not fit
        `dtype`.
    """
    with whole_folder(folder) as unfinished:
        write_weights(unfinished / WEIGHTS_FILE, trained, dtype)
        write_config(unfinished, description_of(trained, dtype))
        for name, text in (files or {}).items():
            write_text(unfinished / name, text)


def write_weights(path: pathlib.Path, trained: TrainedModel, dtype: WeightDtype) -> None:
    """Writes the weights alone.

    Args:
      path: the file.
      trained: its variables are written.
      dtype: stored form of the weights.

    Raises:
      OSError: the disk is full or refuses.
      UserError: the weights are not finite or do not fit `dtype`.
    """
    # Not `ascontiguousarray`, which gives an array of one number an axis.
    arrays = {name: np.asarray(array, order="C") for name, array in compress(trained.variables, dtype).items()}
    with atomic_path(path) as unfinished:
        try:
            safetensors.numpy.save_file(arrays, unfinished, metadata={"format": "flax"})
        except safetensors.SafetensorError as error:  # its name for what the system refuses
            raise OSError(str(error)) from error


def write_config(folder: pathlib.Path, description: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `config.json`, with the checksum of the weights that lie there already.

    Args:
      folder: destination.
      description: of `description_of`, with additions by an export.

    Returns:
      The content of the file.

    Raises:
      OSError: the disk is full or refuses.
    """
    weights = folder / WEIGHTS_FILE
    content = with_checksums(description, [weights] if weights.exists() else [])
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / CONFIG_FILE, text + "\n")
    return content


def read_weights_folder(folder: str | os.PathLike[str], *, mesh: Mesh | None = None) -> TrainedModel:
    """Reads a weights folder.

    Args:
      folder: `config.json` and `model.safetensors`.
      mesh: devices that hold the variables, all by default.

    Returns:
      The model.

    Raises:
      UserError: the folder is incomplete, damaged, of another model than it says, or of a later version.
    """
    path = pathlib.Path(folder)
    described = read_description(path / CONFIG_FILE)
    shapes = stored_shapes(described.shapes, described.weights_dtype)
    stored = read_tensors(path / WEIGHTS_FILE, shapes, described.files.get(WEIGHTS_FILE))
    sharding = meshes.replicated(meshes.data_mesh() if mesh is None else mesh)
    variables = jax.tree.map(
        lambda array: jax.make_array_from_callback(array.shape, sharding, lambda index: array[index]), expand(stored)
    )
    return dataclasses.replace(described.trained, variables=variables)


def read_tensors(
    path: pathlib.Path, expected: Mapping[str, jax.ShapeDtypeStruct], checksum: Checksum | None
) -> dict[str, np.ndarray]:
    """Reads the tensors of a weights folder.

    Args:
      path: `model.safetensors`.
      expected: shapes and dtypes of its tensors by name, of `stored_shapes`.
      checksum: of the file; without one, it is logged that damage would not be noticed.

    Returns:
      The tensors by name.

    Raises:
      UserError: the file is missing or damaged, or holds other tensors.
    """
    if not path.is_file():
        raise UserError(
            f"there is no file {path}, which holds the weights of a weights folder. An export in another format is "
            "read by that framework; export the checkpoint with --format safetensors for this library."
        )
    try:
        # Opening reads the header, which the reader compares with the size of the file; no tensor is read yet.
        with safetensors.safe_open(path, framework="np") as file:
            names = file.keys()
            found = {name: _shape(file.get_slice(name), f"{name} of {path}") for name in names}
            _check_fits(found, expected, path)
            _check_intact(path, checksum)
            arrays = {name: file.get_tensor(name) for name in expected}
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as a safetensors file: it is damaged, incomplete or something else "
            f"({str(error).splitlines()[0]}). Copy it again."
        ) from error
    check_finite(arrays, str(path))
    return arrays


def _check_intact(path: pathlib.Path, checksum: Checksum | None) -> None:
    """Compares the file of weights with its checksum; logs if there is none."""
    if checksum is None:
        if is_primary():
            _logger.warning(
                "%s has no checksum, because another program or an older version of motion_vit has written it: damage "
                "in it would not be noticed",
                path,
            )
    elif found := damage(path, str(path), checksum):
        raise UserError(
            f"the weights are damaged: {found}, by the {CONFIG_FILE} beside it. Copy the folder again, or export the "
            "checkpoint again."
        )


def _shape(tensor: Any, name: str) -> jax.ShapeDtypeStruct:
    """Returns shape and dtype of a tensor in a file, without reading it."""
    if tensor.get_dtype() not in _DTYPES:
        raise UserError(
            f"the tensor {name} is of dtype {tensor.get_dtype()}, in which this library stores no weights; expected "
            f"{', '.join(_DTYPES)}. The file is of something else; copy the folder again."
        )
    return jax.ShapeDtypeStruct(tuple(tensor.get_shape()), _DTYPES[tensor.get_dtype()])


def _check_fits(
    found: Mapping[str, jax.ShapeDtypeStruct], expected: Mapping[str, jax.ShapeDtypeStruct], path: pathlib.Path
) -> None:
    """Compares names, shapes and dtypes in a file with its description."""
    advice = f"The file and the {CONFIG_FILE} beside it do not belong together; copy the whole folder again."
    check_same_model(found, expected, str(path), advice)
    other = [name for name, tensor in expected.items() if found[name] != tensor]
    if other:
        raise UserError(
            f"{path} holds {other[0]} in {found[other[0]].dtype}, but must hold it in {expected[other[0]].dtype}, as "
            f"the weights_dtype in {CONFIG_FILE} says. {advice}"
        )
