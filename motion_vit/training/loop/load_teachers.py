"""Reads the teachers of a run, and keeps a run that is continued to those that it began with."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.options import with_options
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.objectives.teaching import Teacher
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import errors_together
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.sharding import parameter_sharding
from motion_vit.zoo.load import load

_FIELD = "config field distillation.teachers"
# The patterns of the recipe are for the parameters of the student.
_SHARDING_RULES = ((r".*", "fsdp"),)
# What decides the motion that a clip shows.
_SAMPLING_FIELDS = ("sampling", "stride", "fps")
_DESCRIBED = "teachers"


def load_teachers(config: ConfigDict, label_names: Sequence[str], mesh: Mesh) -> tuple[Teacher, ...]:
    """Reads the models that a recipe names as teachers; every process must call it.

    Args:
      config: the recipe.
      label_names: classes of the training data.
      mesh: devices of the run; parameters are split over its axis "fsdp".

    Returns:
      The teachers, in the order of the recipe.

    Raises:
      UserError: one cannot be read, or tells other classes apart.
    """
    trained = [(name, load(name, mesh=mesh)) for name in config.distillation.teachers]
    with errors_together():
        return tuple(_teacher(name, each, config, label_names, mesh) for name, each in trained)


def describe_teachers(teachers: Sequence[Teacher]) -> dict[str, Any]:
    """Describes teachers for a checkpoint.

    Args:
      teachers: of the run.

    Returns:
      Nested mapping for JSON; {} without a teacher.
    """
    described = [{"name": teacher.name, "fingerprint": teacher.fingerprint} for teacher in teachers]
    return {_DESCRIBED: described} if described else {}


def check_same_teachers(teachers: Sequence[Teacher], description: Mapping[str, Any]) -> None:
    """Checks that a run goes on with the weights of teachers that it began with, wherever they lie now.

    Args:
      teachers: of this call.
      description: of the checkpoint, with what `describe_teachers` returned.

    Raises:
      UserError: they are others.
    """
    before: list[dict[str, str]] = description.get(_DESCRIBED, [])
    if [one["fingerprint"] for one in before] == [teacher.fingerprint for teacher in teachers]:
        return
    there = ", ".join(one["name"] for one in before) or "none"
    here = ", ".join(teacher.name for teacher in teachers) or "none"
    raise UserError(
        f"the run began with other teachers ({_FIELD}): {there} there, {here} here, and their weights differ. Give "
        "those that it began with, also where they are a run that was trained on since, or start a new run in another "
        "--workdir."
    )


def _teacher(name: str, trained: TrainedModel, config: ConfigDict, label_names: Sequence[str], mesh: Mesh) -> Teacher:
    """Makes a teacher of a trained model."""
    if trained_evidence(trained.config):
        raise UserError(
            f"the teacher {name} ({_FIELD}) was trained with evidence (loss.name=evidential): its logits are not "
            "those of a softmax, which students learn. Name a teacher that was trained with another loss."
        )
    arrays = traverse_util.flatten_dict(dict(trained.variables), sep="/")
    hosts = {path: np.asarray(leaf) for path, leaf in arrays.items()}
    model = trained.model
    if config.distillation.bfloat16:
        model = with_options(model, {"dtype": jnp.bfloat16})
        hosts = {path: _halved(path, array) for path, array in hosts.items()}
    return Teacher(
        name=name,
        model=model,
        variables=_placed(hosts, mesh),
        normalization=normalization(trained.config),
        classes=_places_of(label_names, trained.label_names, name),
        fingerprint=weights_fingerprint(traverse_util.unflatten_dict(hosts, sep="/")),
        remark=_remark(name, trained, config),
    )


def _halved(path: str, array: np.ndarray) -> np.ndarray:
    """Rounds parameters to bfloat16; running statistics, of which a variance may be tiny, stay as they are."""
    return array.astype(jnp.bfloat16) if path.startswith("params/") and array.dtype == np.float32 else array


def _placed(hosts: Mapping[str, np.ndarray], mesh: Mesh) -> Tree:
    """Puts variables on the devices, parameters split as the default rule of recipes has it."""
    variables = {"params": {}, "batch_stats": {}, **traverse_util.unflatten_dict(dict(hosts), sep="/")}
    shardings = {
        "params": parameter_sharding(variables["params"], _SHARDING_RULES, mesh),
        "batch_stats": jax.tree.map(lambda _: meshes.replicated(mesh), variables["batch_stats"]),
    }
    return jax.tree.map(
        lambda array, sharding: jax.make_array_from_callback(array.shape, sharding, lambda index: array[index]),
        variables,
        shardings,
    )


def _places_of(ours: Sequence[str], theirs: Sequence[str], name: str) -> tuple[int, ...]:
    """Finds the logit of each class of the run among those of a teacher."""
    if set(ours) != set(theirs):
        missing = [label for label in ours if label not in set(theirs)]
        foreign = [label for label in theirs if label not in set(ours)]
        example = f"it does not know {missing[0]!r}" if missing else f"it knows {foreign[0]!r} besides"
        raise UserError(
            f"the teacher {name} ({_FIELD}) tells other classes apart ({len(theirs)} there, {len(ours)} in the "
            f"training data): {example}. A teacher must have the classes of the data, by name and in any order: train "
            "it on them, or start from its weights instead (config field initial_weights)."
        )
    places = {label: place for place, label in enumerate(theirs)}
    return tuple(places[label] for label in ours)


def _remark(name: str, trained: TrainedModel, config: ConfigDict) -> str:
    """Says whom the run learns from, and what that one has seen otherwise."""
    theirs, ours = trained.config.data, config.data
    fields = [field for field in _SAMPLING_FIELDS if theirs[field] != ours[field]]
    differing = ", ".join(f"data.{field} {theirs[field]!r} there and {ours[field]!r} here" for field in fields)
    seen = f"; it was trained on frames that were sampled otherwise: {differing}" if differing else ""
    return f"learns from {name}: {trained.config.model.name}, {trained.step} steps trained{seen}"
