"""Imports PyTorch weights of the models here, strictly: nothing is dropped or left out unsaid."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from motion_vit.errors import UserError
from motion_vit.interop import uniformer_names
from motion_vit.interop.torch_files import Source, describe_source, read_state_dict
from motion_vit.interop.torch_names import Rule, Shape, TorchEntry, torch_entry
from motion_vit.models.uniformer import UniFormer

_RULES: dict[type[nn.Module], tuple[Rule, ...]] = {UniFormer: uniformer_names.RULES}

_STEP_COUNTER = "num_batches_tracked"
"""PyTorch's count of BatchNorm updates. It is used only without a momentum, which no model here does."""


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What became of every weight, under PyTorch's names and with PyTorch's shapes.

    Attributes:
      source: where the weights come from.
      loaded: weights that were taken over.
      missing: weights of the model that the source lacks, with the shape the model has.
      unexpected: weights of the source that the model lacks, with the shape they have.
      misshapen: weights of both whose shapes differ: the shape in the source and that in the model.
      ignored: entries that carry no weight, knowingly left out: BatchNorm's step counters.
    """

    source: str
    loaded: tuple[str, ...]
    missing: Mapping[str, Shape]
    unexpected: Mapping[str, Shape]
    misshapen: Mapping[str, tuple[Shape, Shape]]
    ignored: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether source and model hold the same weights, so that everything was taken over."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        """The report as lines: a summary, and every name that is not simply loaded."""
        lines = [
            f"weights of {self.source}: {len(self.loaded)} loaded, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.misshapen)} misshapen, {len(self.ignored)} step counters "
            "ignored"
        ]
        lines += _section("missing (the model has them, the source does not)", self.missing)
        lines += _section("unexpected (the source has them, the model does not)", self.unexpected)
        shapes = {
            name: f"{given} in the source, {expected} in the model"
            for name, (given, expected) in self.misshapen.items()
        }
        lines += _section("misshapen", shapes)
        return "\n".join(lines)


def _section(title: str, entries: Mapping[str, Any]) -> list[str]:
    return [f"{title}:", *(f"  {name} {value}" for name, value in entries.items())] if entries else []


class CheckpointImportError(UserError):
    """Weights that do not fit a model.

    Attributes:
      report: what became of every weight.
    """

    def __init__(self, message: str, report: ImportReport) -> None:
        super().__init__(message)
        self.report = report


def load_torch(
    model: nn.Module, source: Source, *, strict: bool = True, rng: jax.Array | None = None
) -> tuple[dict[str, Any], ImportReport]:
    """Loads PyTorch weights, in the naming of the authors' code, into the variables of a model.

    Args:
      model: a model of `motion_vit.create_model`.
      source: a file `.pyth`, `.pth`, `.pt` (these need PyTorch), `.safetensors` or `.npz`, or a mapping of names to
        arrays. Files are read without executing anything in them.
      strict: raise unless source and model hold exactly the same weights. Otherwise missing and misshapen weights keep
        the model's initial values, unexpected ones are dropped, and the report names them.
      rng: key of those initial values, by default `jax.random.key(0)`. Unused when `strict`.

    Returns:
      The variables, structured as those of `model.init` (collections `params` and, where the model has any,
      `batch_stats`, in float32), and the report.

    Raises:
      CheckpointImportError: `strict`, and weights are missing, unexpected or misshapen; or nothing fits at all.
      UserError: the source cannot be read, holds no weights or weights that are not floating point numbers; or the
        model has no PyTorch counterpart.
    """
    arrays = read_state_dict(source)
    shapes = _variable_shapes(model)
    expected = _expected_entries(model, shapes)
    report = _compare(describe_source(source), arrays, expected, shapes)
    if (strict and not report.complete) or not report.loaded:
        raise CheckpointImportError(_mismatch_message(model, report), report)
    integers = [name for name in report.loaded if not np.issubdtype(arrays[name].dtype, np.floating)]
    if integers:
        raise UserError(
            f"weights of {report.source} are not floating point numbers: {', '.join(integers)}. Expected float32, "
            "float16 or bfloat16; export them without quantisation."
        )
    loaded = {expected[name][0]: jnp.asarray(expected[name][1].layout.to_flax(arrays[name])) for name in report.loaded}
    absent = [path for path in shapes if path not in loaded]
    if absent:
        loaded |= _initial_values(model, jax.random.key(0) if rng is None else rng, absent)
    return traverse_util.unflatten_dict({path: loaded[path] for path in shapes}, sep="/"), report


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


def _expected_entries(model: nn.Module, paths: Iterable[str]) -> dict[str, tuple[str, TorchEntry]]:
    """PyTorch's names of a model's variables, with the path here and the entry in the table."""
    if type(model) not in _RULES:
        known = ", ".join(model_class.__name__ for model_class in _RULES)
        raise UserError(f"no PyTorch naming is known for {type(model).__name__}. Known are: {known}.")
    entries = {path: torch_entry(_RULES[type(model)], path) for path in paths}
    return {entry.name: (path, entry) for path, entry in entries.items()}


def _compare(
    source: str,
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[str, TorchEntry]],
    shapes: Mapping[str, Shape],
) -> ImportReport:
    wanted = {name: entry.layout.torch_shape(shapes[path]) for name, (path, entry) in expected.items()}
    ignored = tuple(name for name in arrays if name.rpartition(".")[2] == _STEP_COUNTER)
    misshapen = {
        name: (arrays[name].shape, shape)
        for name, shape in wanted.items()
        if name in arrays and arrays[name].shape != shape
    }
    return ImportReport(
        source=source,
        loaded=tuple(name for name in wanted if name in arrays and name not in misshapen),
        missing={name: shape for name, shape in wanted.items() if name not in arrays},
        unexpected={name: array.shape for name, array in arrays.items() if name not in wanted and name not in ignored},
        misshapen=misshapen,
        ignored=ignored,
    )


def _mismatch_message(model: nn.Module, report: ImportReport) -> str:
    if not report.loaded:
        advice = "None of these weights belong to this model. Check that the file and the model are the ones you mean."
    else:
        advice = (
            "Create the model with the options these weights were trained with (num_classes, window, placement, "
            "layer_scale, ...), or pass strict=False to keep the model's initial values where weights do not fit."
        )
    return f"the weights do not fit {type(model).__name__}.\n{report}\n{advice}"
