"""Imports PyTorch weights of the models here, strictly: nothing is dropped or left out unsaid."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from motion_vit.errors import UserError
from motion_vit.interop.import_advice import import_advice
from motion_vit.interop.import_report import CheckpointImportError, ImportReport
from motion_vit.interop.inflation import Inflation, inflate, inflates
from motion_vit.interop.model_families import model_family
from motion_vit.interop.stored_tensor import Shape, StoredTensor
from motion_vit.interop.torch_files import Source, describe_source, open_state_dict
from motion_vit.interop.torch_names import SAME, TorchEntry
from motion_vit.interop.torch_tables import STEP_COUNTER, torch_entries
from motion_vit.training.weight_dtypes import check_finite

_COLLECTIONS = ("params/", "batch_stats/")
"""What names begin with in files of this library, where they are paths joined by "/"."""


def load_torch(
    model: nn.Module,
    source: Source,
    *,
    strict: bool = True,
    anew: Collection[str] = (),
    inflation: Inflation | None = None,
    rng: jax.Array | None = None,
) -> tuple[dict[str, Any], ImportReport]:
    """Loads PyTorch weights, in the naming of the authors' code, into the variables of a model.

    Args:
      model: a model of `motion_vit.create_model`.
      source: a file `.pyth`, `.pth`, `.pt`, `.safetensors` or `.npz`, or a mapping of names to arrays; in PyTorch's
        names and layouts, or in those of this library. Files are read without executing anything in them.
      strict: raise unless source and model hold exactly the same weights. Otherwise missing and misshapen weights keep
        the model's initial values, unexpected ones are dropped, and the report names them.
      anew: parts of the model that keep their initial values, whatever the source has there: "head", for classes other
        than the source's, and of UniFormer "motion", what EMIM has and the attention that it replaces has not.
      inflation: how convolutions of images become convolutions of clips; None does not take them.
      rng: key of the initial values, by default `jax.random.key(0)`. Unused where there are none.

    Returns:
      The variables, structured as those of `model.init` (collections `params` and, where the model has any,
      `batch_stats`, in float32), and the report.

    Raises:
      CheckpointImportError: `strict`, and weights are missing, unexpected or misshapen; or nothing fits at all.
      UserError: the source cannot be read, holds no weights, or weights that are not floating point numbers, or are NaN
        or infinite; the model has no such part, or no PyTorch counterpart.
    """
    with open_state_dict(source) as tensors:
        return load_tensors(
            model, tensors, describe_source(source), strict=strict, anew=anew, inflation=inflation, rng=rng
        )


def load_tensors(
    model: nn.Module,
    tensors: Mapping[str, StoredTensor],
    where: str,
    *,
    strict: bool,
    anew: Collection[str],
    inflation: Inflation | None,
    rng: jax.Array | None,
) -> tuple[dict[str, Any], ImportReport]:
    """Loads weights of an open source; see `load_torch`.

    Args:
      model: as there.
      tensors: the weights by name.
      where: what a message calls their source.
      strict: as there.
      anew: as there.
      inflation: as there.
      rng: as there.

    Returns:
      As there.

    Raises:
      CheckpointImportError: as there.
      UserError: as there.
    """
    shapes = _variable_shapes(model)
    slots = _slots(model, shapes, own_names=has_own_names(tensors), anew=anew)
    report = _compare(where, tensors, slots, inflation)
    if (strict and not report.complete) or not report.loaded:
        raise CheckpointImportError(_mismatch_message(model, report, tensors, anew), report)
    integers = [name for name in report.loaded if not jnp.issubdtype(tensors[name].dtype, jnp.floating)]
    if integers:
        raise UserError(
            f"weights of {where} are not floating point numbers: {', '.join(integers)}. Expected float32, float16 or "
            "bfloat16; export them without quantisation."
        )
    arrays = {name: tensors[name].read() for name in report.loaded}
    check_finite(arrays, where)
    loaded = {slots[name].path: jnp.asarray(_place(array, slots[name], inflation)) for name, array in arrays.items()}
    absent = [path for path in shapes if path not in loaded]
    if absent:
        loaded |= _initial_values(model, jax.random.key(0) if rng is None else rng, absent)
    return traverse_util.unflatten_dict({path: loaded[path] for path in shapes}, sep="/"), report


def has_own_names(names: Iterable[str]) -> bool:
    """Whether weights are named as in files of this library, and not as in PyTorch."""
    return all(name.startswith(_COLLECTIONS) for name in names)


@dataclasses.dataclass(frozen=True)
class _Slot:
    """Where a weight of the source goes.

    Attributes:
      path: the path in the model.
      entry: its name and layout in the source.
      shape: its shape in the source's layout.
      anew: whether it keeps its initial value.
    """

    path: str
    entry: TorchEntry
    shape: Shape
    anew: bool


def _variable_shapes(model: nn.Module) -> dict[str, Shape]:
    """Shapes of a model's variables by path, without computing any."""
    clips = jax.ShapeDtypeStruct((1, model.frames, model.image_size, model.image_size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}


def _initial_values(model: nn.Module, rng: jax.Array, paths: Iterable[str]) -> dict[str, jax.Array]:
    """The model's own initial values of some of its variables."""

    def initialise(key: jax.Array) -> dict[str, jax.Array]:
        clips = jnp.zeros((1, model.frames, model.image_size, model.image_size, 3), jnp.float32)
        variables = traverse_util.flatten_dict(model.init(key, clips), sep="/")
        return {path: variables[path] for path in paths}

    # Under jit, the compiler drops the forward pass and the values that nobody asked for.
    return jax.jit(initialise)(rng)


def _slots(
    model: nn.Module, shapes: Mapping[str, Shape], *, own_names: bool, anew: Collection[str]
) -> dict[str, _Slot]:
    """Where each weight goes, by its name in the source."""
    entries = torch_entries(model, shapes)
    if own_names:
        entries = {path: TorchEntry(path, SAME) for path in shapes}
    family = model_family(model)
    return {
        entry.name: _Slot(path, entry, entry.layout.torch_shape(shapes[path]), family.starts_anew(path, anew))
        for path, entry in entries.items()
    }


def _compare(
    where: str, tensors: Mapping[str, StoredTensor], slots: Mapping[str, _Slot], inflation: Inflation | None
) -> ImportReport:
    wanted = {name: slot for name, slot in slots.items() if not slot.anew}
    inflated = {
        name: (tensors[name].shape, slot.shape)
        for name, slot in wanted.items()
        if inflation and name in tensors and inflates(tensors[name].shape, slot.shape)
    }
    misshapen = {
        name: (tensors[name].shape, slot.shape)
        for name, slot in wanted.items()
        if name in tensors and tensors[name].shape != slot.shape and name not in inflated
    }
    loaded = tuple(name for name in wanted if name in tensors and name not in misshapen)
    ignored = tuple(name for name in tensors if name.rpartition(".")[2] == STEP_COUNTER)
    return ImportReport(
        source=where,
        loaded=loaded,
        missing={name: slot.shape for name, slot in wanted.items() if name not in tensors},
        unexpected={n: tensor.shape for n, tensor in tensors.items() if n not in slots and n not in ignored},
        misshapen=misshapen,
        ignored=ignored,
        reshaped={n: wanted[n].entry.layout.description for n in loaded if wanted[n].entry.layout is not SAME},
        inflated={name: pair for name, pair in inflated.items() if pair[1][2] > 1},
        anew={name: slot.shape for name, slot in slots.items() if slot.anew},
        replaced={name: tensors[name].shape for name, slot in slots.items() if slot.anew and name in tensors},
    )


def _place(array: np.ndarray, slot: _Slot, inflation: Inflation | None) -> np.ndarray:
    """A weight of the source in the layout of the model."""
    if inflation and inflates(array.shape, slot.shape):
        array = inflate(array, slot.shape[2], inflation)
    return slot.entry.layout.to_flax(array)


def _mismatch_message(
    model: nn.Module, report: ImportReport, tensors: Mapping[str, StoredTensor], anew: Collection[str]
) -> str:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    advice = import_advice(model, report, shapes, anew)
    return f"the weights do not fit {type(model).__name__}.\n{report.problems()}\n{advice}"
