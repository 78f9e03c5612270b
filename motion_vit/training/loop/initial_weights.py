"""Starts a run from the weights of another one, or from imported ones: fine-tuning.

Every parameter and running statistic is taken from the weights, of the same path and shape. The head is the exception:
where the classes are the same under another numbering, its rows are put into the run's order; where they are others, it
starts anew. Of a pretrained run a classifier takes the encoder, and what follows that starts anew. Weights of a model
without an input adapter go behind that of the run, if it has one. Whatever else does not fit is an error, and so is
another normalisation of the inputs. Weights that are taken half, or fed with other colours, train to a model that is a
little worse than it should be, and nobody sees why.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.options import model_options, model_traits
from motion_vit.training.checkpoints.errors import check_same_model
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.loop.temporal_weights import fit_temporal_encoder, load_temporal_weights
from motion_vit.training.parallel.processes import errors_together
from motion_vit.training.recipe.file import OVERRIDE_PREFIX
from motion_vit.training.step.objective_registry import pretraining_of
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState
from motion_vit.zoo.load import load_any

_INPUT_FIELDS = ("channel_order", "mean", "std")


def start_from_weights(program: TrainingProgram, label_names: Sequence[str]) -> tuple[TrainState, str]:
    """Makes the state before the first step, with the weights that the recipe's `initial_weights` names.

    Every process of the run must call it.

    Args:
      program: the recipe's program.
      label_names: classes of the training data.

    Returns:
      The state, split over the devices as the program has it, and what was taken, for the log.

    Raises:
      UserError: they cannot be read, are of another model, or of one that takes other inputs.
    """
    config = program.config
    trained = load_any(config.initial_weights, mesh=program.mesh)
    of_time = load_temporal_weights(config.temporal_weights, program.mesh)
    state = program.initial_state()
    with errors_together():
        _check_same_inputs(trained, config)
        weights = _host_arrays(trained.variables)
        fresh = _flat_shapes(state.variables)
        adapter = ""
        prefix = program.model.inner_prefix
        if prefix and not trained.model.inner_prefix:
            weights = {_behind_adapter(path, prefix): array for path, array in weights.items()}
            fresh = {path: shape for path, shape in fresh.items() if path.partition("/")[2].startswith(prefix)}
            adapter = f" They go behind the {program.model.input_adapter.replace('_', ' ')}, which starts anew."
        if config.objective != "classification":
            head = ""
        elif isinstance(trained, PretrainedRun):
            pretraining = pretraining_of(trained.config)
            head = _keep_encoder(
                weights, fresh, functools.partial(pretraining.is_of_encoder, trained.model, prefix=prefix)
            )
        else:
            head = _fit_head(weights, fresh, program.model.classifier, trained.label_names, label_names)
        if (encoder := program.model.temporal_encoder()) is not None:
            adapter += fit_temporal_encoder(weights, fresh, encoder, config.temporal_weights, of_time)
        check_same_model(
            weights,
            fresh,
            f"{config.initial_weights} (config field initial_weights)",
            _advice(trained.config.model.name, config.model.name),
        )
    # Also of what is trained beside the model, which starts anew.
    variables = _placed(weights, {"params": state.params, "batch_stats": state.batch_stats})
    # Averages start at the parameters; in memory of their own, because a step gives up that of both.
    ema = _placed(weights, {"params": state.ema})["params"] if state.ema else {}
    taken = dataclasses.replace(state, **variables, ema=ema)
    return taken, "\n".join(_report(trained, program, weights, head + adapter))


def _advice(of_weights: str, of_recipe: str) -> str:
    """Says what to do about weights that do not fit, by the names of both models."""
    if of_weights != of_recipe:
        return (
            f"These weights are of {of_weights}, and the recipe's model is {of_recipe}: "
            f"--config.model.name={of_weights} trains from them."
        )
    return (
        "Choose the options that these weights were trained with, or import them into this model with "
        "`motion-vit import`."
    )


def _behind_adapter(path: str, prefix: str) -> str:
    """Returns the path of a weight when its model is behind an input adapter."""
    collection, _, rest = path.partition("/")
    return f"{collection}/{prefix}{rest}"


def _check_same_inputs(trained: TrainedModel | PretrainedRun, config: ConfigDict) -> None:
    theirs, ours = trained.config.data, config.data
    differing = [name for name in _INPUT_FIELDS if _plain(theirs[name]) != _plain(ours[name])]
    if differing:
        lines = "\n".join(
            f"  data.{name}: {_plain(theirs[name])!r} there, {_plain(ours[name])!r} here" for name in differing
        )
        overrides = " ".join(f"'{OVERRIDE_PREFIX}data.{name}={_plain(theirs[name])}'" for name in differing)
        raise UserError(
            f"{config.initial_weights} (config field initial_weights) was trained on inputs that are normalised "
            f"otherwise:\n{lines}\nTake over its values: {overrides}"
        )


def _plain(value: Any) -> Any:
    """Writes a value as Python does, whether it comes from a recipe or from JSON."""
    return value if isinstance(value, str) else tuple(value)


def _host_arrays(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    return {path: np.asarray(leaf) for path, leaf in flat.items()}


def _flat_shapes(variables: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    return {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in flat.items()}


def _keep_encoder(
    weights: dict[str, np.ndarray], fresh: dict[str, jax.ShapeDtypeStruct], is_of_encoder: Callable[[str], bool]
) -> str:
    """Leaves out of both what pretraining and fine-tuning do not share; says what starts anew."""
    for path in [path for path in (*weights, *fresh) if not is_of_encoder(path)]:
        weights.pop(path, None)
        fresh.pop(path, None)
    return "They are the pretrained encoder; what follows it starts anew."


def _fit_head(
    weights: dict[str, np.ndarray],
    fresh: dict[str, jax.ShapeDtypeStruct],
    classifier: str,
    theirs: Sequence[str],
    ours: Sequence[str],
) -> str:
    """Brings the head of the weights into the order of the run's classes, or leaves it out of both; says which."""
    if tuple(theirs) == tuple(ours):
        return f"The head is taken too: the {len(ours)} classes are the same."
    head = f"params/{classifier}/"
    if set(theirs) == set(ours):
        order = [list(theirs).index(name) for name in ours]
        weights |= {path: array[..., order] for path, array in weights.items() if path.startswith(head)}
        return f"The head is taken too, its rows put into this run's order: the {len(ours)} classes are the same."
    for path in [path for path in (*weights, *fresh) if path.startswith(head)]:
        weights.pop(path, None)
        fresh.pop(path, None)
    only_ours = [name for name in ours if name not in theirs]
    example = f"such as {only_ours[0]!r}, which is new" if only_ours else f"of which {len(theirs) - len(ours)} are gone"
    return f"The head starts anew: the classes are others ({len(theirs)} there, {len(ours)} here, {example})."


def _placed(weights: Mapping[str, np.ndarray], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Places the weights as the fresh variables lie on the devices, and takes these where the weights have none."""

    def place(path: str, leaf: jax.Array) -> jax.Array:
        if path not in weights:
            return leaf
        array = weights[path].astype(leaf.dtype)
        return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: array[index])

    flat = {path: place(path, leaf) for path, leaf in traverse_util.flatten_dict(dict(fresh), sep="/").items()}
    return {"params": {}, "batch_stats": {}, **traverse_util.unflatten_dict(flat, sep="/")}


def _report(
    trained: TrainedModel | PretrainedRun, program: TrainingProgram, weights: Mapping[str, np.ndarray], head: str
) -> list[str]:
    """Says what was taken, and what is otherwise than when the weights were trained."""
    kind = "averaged parameters" if trained.averaged else "parameters"
    counts = {name: sum(path.startswith(f"{name}/") for path in weights) for name in ("params", "batch_stats")}
    lines = [
        f"starts from {program.config.initial_weights}, {trained.step} steps trained: {counts['params']} arrays of "
        f"{kind} and {counts['batch_stats']} of running statistics are taken. {head}"
    ]
    theirs, ours = model_options(trained.model), model_options(program.model)
    traits = model_traits(program.model)
    for name in sorted(theirs.keys() & ours.keys() & traits.keys()):
        if traits[name].effect == "network" and theirs[name] != ours[name]:
            lines.append(f"  {name} was {theirs[name]!r} and is {ours[name]!r}")
    return lines
