"""The contract of a family that transformers has, too: its `config.json`, its names, and what it cannot express."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from motion_vit.errors import UserError

PROCESSOR_FILE = "preprocessor_config.json"
"""Says how frames become inputs, beside `config.json`."""

OWN_DESCRIPTION = "motion_vit"
"""The field of `config.json` that holds this library's own description of a model that it has exported."""


@dataclasses.dataclass(frozen=True)
class HuggingFaceForm:
    """The form in which transformers stores the models of a family.

    Attributes:
      model_type: what its `config.json` calls the architecture.
      classifier: the class there that has a classifier.
      processor: the class there that makes inputs of frames.
      options: reads the options of the model off the fields of a `config.json`; raises `UserError` where the model has
        none for what they say.
      config: makes the fields of a `config.json` of a model that has `num_classes` classes.
      inexpressible: says what transformers lacks of a model, as a clause; "" for nothing.
      names: renames weights from the authors' names to those of transformers, and splits what is several there.
      without_classifier: parts that start anew where a source has no classifier, such as pretrained ones.
    """

    model_type: str
    classifier: str
    processor: str
    options: Callable[[Mapping[str, Any]], dict[str, Any]]
    config: Callable[[Any], dict[str, Any]]
    inexpressible: Callable[[Any], str]
    names: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    without_classifier: tuple[str, ...] = ("head",)


def whole_number(config: Mapping[str, Any], name: str, default: int) -> int:
    """Reads a whole number of a `config.json`.

    Args:
      config: its fields.
      name: of the field; a list of the same number, as of height and width, counts as that number.
      default: what transformers takes without the field.

    Raises:
      UserError: it is none above 0.
    """
    value = config.get(name, default)
    if isinstance(value, list) and value and all(each == value[0] for each in value):
        value = value[0]
    if type(value) is not int or value < 1:
        raise UserError(f"its {name} is {value!r}, but must be a whole number above 0.")
    return value


def real_number(config: Mapping[str, Any], name: str, default: float) -> float:
    """Reads a number of a `config.json`.

    Args:
      config: its fields.
      name: of the field.
      default: what transformers takes without the field.

    Raises:
      UserError: it is no finite number.
    """
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"its {name} is {value!r}, but must be a number.")
    return float(value)


def flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """Reads a truth value of a `config.json`.

    Args:
      config: its fields.
      name: of the field.
      default: what transformers takes without the field.

    Raises:
      UserError: it is none.
    """
    value = config.get(name, default)
    if type(value) is not bool:
        raise UserError(f"its {name} is {value!r}, but must be true or false.")
    return value


def mlp_ratio(hidden: int, width: int) -> float:
    """Finds the ratio that gives a perceptron its hidden features: `int(width * ratio)` is their number.

    Args:
      hidden: features.
      width: channels.
    """
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def only(config: Mapping[str, Any], name: str, supported: Any) -> None:
    """Refuses a `config.json` of a network that this library does not have.

    Args:
      config: its fields.
      name: of the field.
      supported: the one value that is supported, which transformers takes without the field.

    Raises:
      UserError: it has another one.
    """
    value = config.get(name, supported)
    if value != supported:
        raise UserError(f"its {name} is {value!r}, and this library has such networks with {supported!r} alone.")
