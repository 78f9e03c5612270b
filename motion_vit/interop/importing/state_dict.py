"""Imports PyTorch weights into models of this library, strictly: nothing is skipped without notice."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from motion_vit.errors import UserError
from motion_vit.interop.families.registry import model_family
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor
from motion_vit.interop.files.torch_files import Source, StateDict, describe_source, open_state_dict
from motion_vit.interop.importing.advice import import_advice
from motion_vit.interop.importing.inflation import Inflation, inflates
from motion_vit.interop.importing.report import CheckpointImportError, ImportReport
from motion_vit.interop.importing.weight_slots import Fitting, compare, place, weight_slots
from motion_vit.models.checked_model import TracedModel, trace_model
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.weight_dtypes import check_finite


def load_torch(
    model: VideoModel,
    source: Source,
    *,
    strict: bool = True,
    anew: Collection[str] = (),
    inflation: Inflation | None = None,
    resize: bool = False,
    state: str | None = None,
    rng: jax.Array | None = None,
) -> tuple[dict[str, Any], ImportReport]:
    """Loads PyTorch weights, in the naming of the authors' code, into the variables of a model.

    Args:
      model: a model of `motion_vit.create_model`.
      source: a file `.pyth`, `.pth`, `.pt`, `.bin`, `.safetensors` or `.npz`, or a mapping of names to arrays; in the
        names and layouts of PyTorch, or in those of this library. Files are read without executing anything in them.
      strict: raise unless source and model hold exactly the same weights. Otherwise missing and misshapen weights keep
        the model's initial values, unexpected ones are dropped, and the report names them.
      anew: parts of the model that start anew, whatever the source has there. "head" is for classes other than the
        source's. "motion" is everything that only EMIM, cost volumes and motion modules have. "temporal", of
        TimeSformer, is the attention over time, which starts as a copy of that within frames. "prompt" is the one
        before a backbone.
      inflation: method of turning image convolutions into convolutions of clips; None refuses them.
      resize: take position and time embeddings of other sizes, by their nearest entries, and tables of relative
        positions, linearly.
      state: entry of the source to take, such as "model_ema"; by default the weights rather than their averages.
      rng: key of the initial values, by default `jax.random.key(0)`. Unused without any.

    Returns:
      The variables, structured as those of `model.init` (collections `params` and, where the model has any,
      `batch_stats`, in float32), and the report.

    Raises:
      CheckpointImportError: `strict`, and weights are missing, unexpected or misshapen; or nothing fits at all.
      UserError: the source cannot be read, holds no weights, or weights that are not floating point numbers, or are NaN
        or infinite; the model has no such part, or no PyTorch counterpart.
    """
    with open_for_model(model, source, state) as state_dict:
        fitting = Fitting(anew, inflation, resize)
        return load_state_dict(model, state_dict, describe_source(source), fitting, strict=strict, rng=rng)


@contextlib.contextmanager
def open_for_model(model: VideoModel, source: Source, state: str | None) -> Iterator[StateDict]:
    """Opens the weights of a source, under the names that the family of a model has for them.

    Args:
      model: a model of `motion_vit.create_model`.
      source: as in `load_torch`.
      state: as in `load_torch`.

    Yields:
      The weights, while the source is open.

    Raises:
      UserError: the model has no PyTorch counterpart, or as `open_state_dict`.
    """
    family = model_family(model)
    with open_state_dict(source, state) as state_dict:
        yield state_dict._replace(tensors=family.tensors(state_dict.tensors))


def load_state_dict(
    model: VideoModel, state_dict: StateDict, where: str, fitting: Fitting, *, strict: bool, rng: jax.Array | None
) -> tuple[dict[str, Any], ImportReport]:
    """Loads the weights of an open source; see `load_torch`.

    Args:
      model: as in `load_torch`.
      state_dict: weights of the open source, of `open_for_model`.
      where: name of the source in messages.
      fitting: allowed changes to the weights.
      strict: as in `load_torch`.
      rng: as in `load_torch`.

    Returns:
      As `load_torch`.

    Raises:
      CheckpointImportError: as `load_torch`.
      UserError: as `load_torch`.
    """
    family = model_family(model)  # refuses a model that has none, before it is traced
    tensors = state_dict.tensors
    traced = trace_model(model)
    flat = traverse_util.flatten_dict(traced.shapes, sep="/")
    shapes: dict[str, Shape] = {path: leaf.shape for path, leaf in flat.items()}
    slots = weight_slots(model, shapes, tensors.keys(), fitting.anew)
    from_images = any(inflates(tensors[name].shape, slot.shape) for name, slot in slots.items() if name in tensors)
    fitting = dataclasses.replace(fitting, from_images=from_images)
    report = dataclasses.replace(
        compare(where, tensors, slots, fitting, family.beside),
        prefix=state_dict.prefix,
        state=state_dict.state,
        other_states=state_dict.other_states,
    )
    if (strict and not report.complete) or not report.loaded:
        raise CheckpointImportError(_mismatch_message(model, report, tensors, fitting.anew), report)
    integers = [name for name in report.loaded if not jnp.issubdtype(tensors[name].dtype, jnp.floating)]
    if integers:
        raise UserError(
            f"weights of {where} are not floating point numbers: {', '.join(integers)}. Expected float32, float16 or "
            "bfloat16; export them without quantisation."
        )
    arrays = {name: tensors[name].read() for name in report.loaded}
    check_finite(arrays, where)
    sources = {**{name: name for name in report.loaded}, **report.copied}
    # Copied here, because on CPUs `device_put` shares the memory of the caller, and `jnp.asarray`, which does not,
    # compiles a program for every new shape.
    loaded = jax.device_put(
        {slots[name].path: np.array(place(arrays[source], slots[name], fitting)) for name, source in sources.items()}
    )
    absent = [path for path in shapes if path not in loaded]
    if absent:
        loaded |= _initial_values(traced, jax.random.key(0) if rng is None else rng, absent)
    return traverse_util.unflatten_dict({path: loaded[path] for path in shapes}, sep="/"), report


def _initial_values(traced: TracedModel, rng: jax.Array, paths: Iterable[str]) -> dict[str, jax.Array]:
    """Computes the model's own initial values of some of its variables."""

    def initialise(key: jax.Array) -> dict[str, jax.Array]:
        variables = traverse_util.flatten_dict(traced.init(key), sep="/")
        return {path: variables[path] for path in paths}

    # Under jit, the compiler drops the forward pass and the values that nobody asked for.
    return jax.jit(initialise)(rng)


def _mismatch_message(
    model: VideoModel, report: ImportReport, tensors: Mapping[str, StoredTensor], anew: Collection[str]
) -> str:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    advice = import_advice(model, report, shapes, anew)
    return f"the weights do not fit {type(model).__name__}.\n{report.problems()}\n{advice}"
