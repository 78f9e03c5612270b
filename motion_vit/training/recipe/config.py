"""The recipe: every setting of a training run with its default; reading, writing and comparing recipes.

`motion_vit.training.recipe.file` reads recipes from files.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.ranges import Notes, Options, refusal, shown
from motion_vit.training.recipe.field_synonyms import field_meant
from motion_vit.training.recipe.fields import FIELDS

OptimizerName: TypeAlias = Literal["adamw", "sgd", "muon"]
StillName: TypeAlias = Literal["none", "own", "batch", "bank"]
WriterName: TypeAlias = Literal["tensorboard", "wandb", "mlflow"]

# Take whatever the model and the loss take, which check these fields themselves.
_FREE_FIELDS = ("model.options", "loss.options")
# Takes a text, or a mapping whose keys are no fields.
_NOTES = "notes"

# A run may be continued with these changed, because the parameters that it arrives at do not depend on them.
_CHANGEABLE = (
    "name",
    "notes",
    # A checkpoint knows its data by the content.
    "data.train",
    "data.validation",
    "data.features",
    "data.validation_features",
    # Likewise its teachers.
    "distillation.teachers",
    "data.workers",
    "data.threads",
    "data.max_undecodable",
    "mesh",
    "sharding_rules",
    "remat",
    "evaluation",
    "checkpoint",
    "early_stopping",
    "log",
)


def default_config() -> ConfigDict:
    """Makes the recipe with the default of every field of `FIELDS`; types are fixed, unknown fields are refused.

    Returns:
      A `ConfigDict`, locked but for `model.options` and `loss.options`.
    """
    nested: dict[str, Any] = {}
    for name, field in FIELDS.items():
        *groups, leaf = name.split(".")
        node = nested
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = copy.copy(field.default)
    config = ConfigDict(nested)
    config.lock()
    config.model.options.unlock()
    config.loss.options.unlock()
    return config


def config_from_dict(values: Mapping[str, Any]) -> ConfigDict:
    """Makes a recipe from a nested mapping such as `json.loads` returns, for example from a checkpoint.

    Args:
      values: fields; missing ones keep their default.

    Returns:
      The recipe.

    Raises:
      UserError: a field is unknown or a value has the wrong type.
    """
    config = default_config()
    for key, value in flatten(values).items():
        set_field(config, key, value)
    return config


def flatten(values: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Flattens a recipe to dotted names; `model.options`, `loss.options` and `notes` stay mappings of free keys.

    Args:
      values: a recipe or its nested mapping.

    Returns:
      Dotted name -> value.
    """
    nested = values.to_dict() if isinstance(values, ConfigDict) else values
    flat: dict[str, Any] = {}

    def visit(prefix: str, node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            name = prefix + key
            if isinstance(value, Mapping) and name not in (*_FREE_FIELDS, _NOTES):
                visit(name + ".", value)
            else:
                flat[name] = value

    visit("", nested)
    return flat


def to_json(config: ConfigDict) -> str:
    """Formats the whole recipe as indented JSON.

    Args:
      config: the recipe.

    Returns:
      JSON text.
    """
    return json.dumps(config.to_dict(), indent=2)


def differing_fields(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Finds the fields in which the training of two recipes differs.

    Args:
      old: a recipe.
      new: another one.

    Returns:
      Dotted name -> (old value, new value), without fields that only change logs, checkpoints or evaluation.
    """
    # Both through JSON, which holds lists for tuples.
    before, after = (flatten(json.loads(to_json(config))) for config in (old, new))
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not _is_changeable(name)
    }


def _is_changeable(name: str) -> bool:
    return any(name == field or name.startswith(field + ".") for field in _CHANGEABLE)


def set_field(config: ConfigDict, key: str, value: Any) -> None:
    """Sets one field of a recipe.

    Args:
      config: changed in place.
      key: the field's dotted name.
      value: of the field's type.

    Raises:
      UserError: there is no such field, or the value has the wrong type.
    """
    for field in _FREE_FIELDS:
        if key.startswith(field + "."):
            _merge_options(config, field, {key.removeprefix(field + "."): value})
            return
    if key == _NOTES or key.startswith(_NOTES + "."):
        _set_notes(config, key, value)
        return
    if key not in FIELDS:
        raise unknown_field(key)
    if key in _FREE_FIELDS:
        if not Options().holds(value):
            raise UserError(f"config field {refusal(key, value, Options())}.")
        _merge_options(config, key, value)
        return
    expected = type(FIELDS[key].default)
    # ConfigDict takes None for anything, and a bool for an int, because Python does. It also writes a whole value of
    # another type into its error, however long.
    accepted = {float: (float, int), tuple: (tuple, list)}.get(expected, expected)
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise _wrong_type(key, value, expected)
    parent_name, _, name = key.rpartition(".")
    parent = config[parent_name] if parent_name else config
    try:
        parent[name] = value
    except (TypeError, OverflowError) as error:  # the latter of a whole number beyond any float
        raise _wrong_type(key, value, expected) from error


def unknown_field(key: object) -> UserError:
    """Makes the error for a field that recipes do not have.

    Args:
      key: the dotted name that was given.

    Returns:
      The error, which suggests the field that was meant, or lists all of them.
    """
    meant = field_meant(key, FIELDS)
    hint = f"Did you mean {meant!r}?" if meant else f"The fields are: {', '.join(sorted(FIELDS))}."
    return UserError(f"unknown config field {shown(key)}. {hint}")


def _set_notes(config: ConfigDict, key: str, value: Any) -> None:
    """Sets the notes, or one of them by its dotted name."""
    path = key.split(".")[1:]
    notes: Any = value
    if path:
        before = config.to_dict()[_NOTES]
        if not isinstance(before, Mapping | None):
            raise UserError(
                f"config field {key} cannot be set, because {_NOTES} is a text: {shown(before)}. Set {_NOTES} as a "
                "whole, or make it a mapping in the recipe."
            )
        notes = _with_note(before or {}, path, value)
    if not Notes().holds(notes):
        raise UserError(f"config field {refusal(_NOTES, notes, Notes())}.")
    with config.ignore_type():
        config[_NOTES] = notes


def _with_note(notes: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Returns notes with one of them, however deep, set to a value."""
    name, *deeper = path
    if deeper:
        inner = notes.get(name)
        value = _with_note(inner if isinstance(inner, Mapping) else {}, deeper, value)
    return {**notes, name: value}


def _wrong_type(key: str, value: Any, expected: type) -> UserError:
    return UserError(
        f"config field {key} is {shown(value)} ({type(value).__name__}), but must be of type {expected.__name__}."
    )


def _merge_options(config: ConfigDict, field: str, options: Mapping[str, Any]) -> None:
    parent, _, name = field.rpartition(".")
    free = config[parent][name]
    with free.ignore_type():
        for option, value in options.items():
            free[option] = value
