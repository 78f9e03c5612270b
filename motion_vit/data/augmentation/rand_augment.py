"""RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719) on clips, from the strings that timm reads.

Operations, strengths and draws follow `rand_augment_transform` in timm/data/auto_augment.py and its version for clips
in
slowfast/datasets/rand_augment.py, with SlowFast's bicubic interpolation. `layers` operations are drawn with
replacement, and each is applied with the given probability. Strength and direction are drawn once for all frames;
statistics of the picture are taken per frame (see `color_ops`).
"""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.augmentation import color_ops, geometric_ops
from motion_vit.errors import UserError

# A magnitude of 10 is the level 1.0 of every operation.
_MAGNITUDES_A_LEVEL = 10
# A larger deviation means a uniform magnitude.
_LARGEST_DEVIATION = 100
_SECTION = re.compile(r"([a-z]+)(\d+(?:\.\d*)?|inf)", re.ASCII)


@dataclasses.dataclass(frozen=True)
class _Section:
    """A section of a RandAugment string.

    Attributes:
      field: of `RandAugment`, which it sets.
      kind: type that its number is parsed as.
      least: lower bound of the number.
      greatest: upper bound of the number.
      meaning: its description in messages.
    """

    field: str
    kind: type[int] | type[float] | type[bool]
    least: float
    greatest: float
    meaning: str


_SECTIONS = {
    "m": _Section("magnitude", int, 0, math.inf, "magnitude; 10, unless given, is the full range of the operations"),
    "n": _Section("layers", int, 1, math.inf, "operations drawn for a clip; 2 unless given"),
    "p": _Section("probability", float, 0, 1, "probability that each of them is applied; 0.5 unless given"),
    "mstd": _Section("magnitude_std", float, 0, math.inf, "standard deviation of m; inf: uniform from 0 to m"),
    "mmax": _Section("max_magnitude", int, 1, math.inf, "greatest magnitude; 10 unless given"),
    "inc": _Section("increasing", bool, 0, 1, "1 for the operations that grow stronger with m; 0 unless given"),
}


class Operation(NamedTuple):
    """An operation with its strength.

    Attributes:
      name: its name in timm, such as "ShearX" or "ColorIncreasing".
      arguments: what its function in `color_ops` or `geometric_ops` takes beside the clip.
    """

    name: str
    arguments: tuple[float, ...]


# The arguments of an operation at a level, from 0 to 1 (beyond for mmax above 10), and a sign, 1 or -1.
_Strength = Callable[[float, int], tuple[float, ...]]
_OperationTable = dict[str, tuple[Callable[..., UInt8[np.ndarray, "t h w 3"]], _Strength]]


def _none(level: float, sign: int) -> tuple[float, ...]:
    """Returns no arguments, for an operation without a strength."""
    return ()


def _either_way(greatest: float) -> _Strength:
    """Makes a strength from 0 to `greatest`, in one of two directions."""
    return lambda level, sign: (sign * level * greatest,)


def _whole(greatest: int) -> _Strength:
    """Makes an integer strength that grows from 0 to `greatest`."""
    return lambda level, sign: (int(level * greatest),)


def _whole_falling(greatest: int) -> _Strength:
    """Makes an integer strength that falls from `greatest` to 0."""
    return lambda level, sign: (greatest - int(level * greatest),)


def _factor(level: float, sign: int) -> tuple[float, ...]:
    """Returns the factor of an enhancement: 0.1 almost removes it, 1 changes nothing, 1.9 almost doubles it."""
    return (level * 1.8 + 0.1,)


def _factor_increasing(level: float, sign: int) -> tuple[float, ...]:
    """Returns the factor of an enhancement, away from 1 in one of two directions."""
    return (max(0.1, 1 + sign * level * 0.9),)


_ORIGINAL: _OperationTable = {
    "AutoContrast": (color_ops.autocontrast, _none),
    "Equalize": (color_ops.equalize, _none),
    "Invert": (color_ops.invert, _none),
    "Rotate": (geometric_ops.rotate, _either_way(30)),
    "Posterize": (color_ops.posterize, _whole(4)),
    "Solarize": (color_ops.solarize, _whole(256)),
    "SolarizeAdd": (color_ops.solarize_add, _whole(110)),
    "Color": (color_ops.color, _factor),
    "Contrast": (color_ops.contrast, _factor),
    "Brightness": (color_ops.brightness, _factor),
    "Sharpness": (color_ops.sharpness, _factor),
    "ShearX": (geometric_ops.shear_x, _either_way(0.3)),
    "ShearY": (geometric_ops.shear_y, _either_way(0.3)),
    "TranslateXRel": (geometric_ops.translate_x, _either_way(0.45)),
    "TranslateYRel": (geometric_ops.translate_y, _either_way(0.45)),
}
# The same, where the original of some grows weaker with the magnitude or is strong at both its ends.
_REPLACED: _OperationTable = {
    "Posterize": (color_ops.posterize, _whole_falling(4)),
    "Solarize": (color_ops.solarize, _whole_falling(256)),
    "Color": (color_ops.color, _factor_increasing),
    "Contrast": (color_ops.contrast, _factor_increasing),
    "Brightness": (color_ops.brightness, _factor_increasing),
    "Sharpness": (color_ops.sharpness, _factor_increasing),
}
_INCREASING: _OperationTable = {
    (f"{name}Increasing" if name in _REPLACED else name): _REPLACED.get(name, operation)
    for name, operation in _ORIGINAL.items()
}
_FUNCTIONS = {name: function for table in (_ORIGINAL, _INCREASING) for name, (function, _) in table.items()}


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """Random operations on a clip, the same with the same strength on all its frames.

    Attributes:
      magnitude: strength of the operations; 10 is their full range.
      layers: operations drawn for a clip.
      probability: with which each of them is applied.
      magnitude_std: standard deviation of the magnitude; infinity draws it uniformly from 0 to `magnitude`.
      max_magnitude: drawn magnitudes are clipped to the range from 0 to this.
      increasing: whether the operations are those that grow stronger with the magnitude.
    """

    magnitude: float = 10.0
    layers: int = 2
    probability: float = 0.5
    magnitude_std: float = 0.0
    max_magnitude: float = 10.0
    increasing: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[Operation, ...]:
        """Draws the operations for a clip.

        Args:
          rng: source of the draw.

        Returns:
          The operations in order; at most `layers`, sometimes none.
        """
        table = _INCREASING if self.increasing else _ORIGINAL
        names = list(table)
        operations = []
        for choice in rng.integers(len(names), size=self.layers):
            if rng.random() >= self.probability:
                continue
            name = names[choice]
            level = self._draw_magnitude(rng) / _MAGNITUDES_A_LEVEL
            sign = -1 if rng.random() < 0.5 else 1
            operations.append(Operation(name, table[name][1](level, sign)))
        return tuple(operations)

    def _draw_magnitude(self, rng: np.random.Generator) -> float:
        if math.isinf(self.magnitude_std):
            magnitude = rng.uniform(0, self.magnitude)
        else:
            magnitude = rng.normal(self.magnitude, self.magnitude_std)
        return min(max(magnitude, 0.0), self.max_magnitude)

    def __call__(self, clip: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
        """Augments a clip.

        Args:
          clip: the frames, RGB; not written to.
          rng: source of the draw.

        Returns:
          The augmented clip; the given one where no operation was drawn.
        """
        return apply_operations(clip, self.draw(rng))


def apply_operations(
    clip: UInt8[np.ndarray, "t h w 3"], operations: tuple[Operation, ...]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Applies drawn operations to all frames of a clip.

    Args:
      clip: the frames, RGB; not written to.
      operations: in the order of application, from `RandAugment.draw`.

    Returns:
      The changed clip; the given one for no operations.
    """
    for name, arguments in operations:
        clip = _FUNCTIONS[name](clip, *arguments)
    return clip


def parse_rand_augment(spec: str) -> RandAugment:
    """Reads a string such as `rand-m7-n4-mstd0.5-inc1`, as timm and SlowFast write RandAugment in their recipes.

    The sections after `rand` may come in any order:

    * `m`, the magnitude (10 unless given);
    * `n`, operations per clip (2);
    * `p`, the probability of each (0.5);
    * `mstd`, the standard deviation of the magnitude (0; `mstdinf` or more than 100: uniform from 0 to m);
    * `mmax`, the greatest magnitude (10);
    * `inc`, 1 for the operations that grow stronger with the magnitude (0).

    Unlike in timm, `inc0` means 0 (timm takes any `inc` for `inc1`), and unknown sections are refused.

    Args:
      spec: the string.

    Returns:
      The transform.

    Raises:
      UserError: the string is not of this form, or a value is out of range.
    """
    start, *sections = spec.split("-")
    if start != "rand":
        raise _spec_error(spec, f"it starts with {start!r}, and only rand is supported")
    options: dict[str, Any] = {}
    for section in sections:
        field, value = _parse_section(spec, section)
        if field in options:
            raise _spec_error(spec, f"{section!r} is a second value for the same")
        options[field] = value
    if options.get("magnitude_std", 0) > _LARGEST_DEVIATION:
        options["magnitude_std"] = math.inf
    return RandAugment(**options)


def _parse_section(spec: str, text: str) -> tuple[str, float]:
    """Reads a section such as `mstd0.5`: the field of `RandAugment` and its value."""
    match = _SECTION.fullmatch(text)
    key, number = match.groups() if match else ("", "")
    if key == "w":
        raise _spec_error(spec, f"{text!r}: weights are not supported, all operations are drawn equally often")
    if key not in _SECTIONS:
        raise _spec_error(spec, f"{text!r} is no section of it")
    section = _SECTIONS[key]
    if section.kind is not float and not number.isdecimal():
        raise _spec_error(spec, f"{text!r}: {key} takes a whole number")
    if not section.least <= float(number) <= section.greatest:
        bounds = (
            f"at least {section.least}" if math.isinf(section.greatest) else f"{section.least} to {section.greatest}"
        )
        raise _spec_error(spec, f"{text!r}: {key} must be {bounds}")
    return section.field, section.kind(float(number))


def _spec_error(spec: str, reason: str) -> UserError:
    sections = "\n".join(f"  {key:6}{section.meaning}" for key, section in _SECTIONS.items())
    return UserError(
        f"RandAugment {spec!r}: {reason}.\nExpected rand and sections, joined by dashes, such as "
        f"rand-m7-n4-mstd0.5-inc1:\n{sections}"
    )
