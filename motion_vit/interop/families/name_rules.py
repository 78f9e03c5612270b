"""How weights are called and laid out here and in PyTorch, as tables that read in both directions."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from motion_vit.interop.files.stored_tensor import Shape


@dataclasses.dataclass(frozen=True)
class Layout:
    """The order of a weight's axes in PyTorch and here, as a pair of functions that undo each other.

    Attributes:
      description: the axes in PyTorch and here.
      to_flax: takes an array from PyTorch's layout to ours.
      to_torch: takes an array from our layout to PyTorch's.
    """

    description: str
    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]

    def torch_shape(self, shape: Shape) -> Shape:
        """The shape in PyTorch of a weight that has this shape here."""
        return self.to_torch(np.broadcast_to(np.float32(0), shape)).shape


SAME = Layout("the same in both", lambda x: x, lambda x: x)
LINEAR = Layout("[out, in] to [in, out]", lambda x: x.transpose(1, 0), lambda x: x.transpose(1, 0))
POINTWISE = Layout(
    "[out, in, 1, 1, 1] to [in, out]",
    lambda x: x[:, :, 0, 0, 0].transpose(1, 0),
    lambda x: x.transpose(1, 0)[:, :, None, None, None],
)
CONVOLUTION = Layout(
    "[out, in, t, h, w] to [t, h, w, in, out]",
    lambda x: x.transpose(2, 3, 4, 1, 0),
    lambda x: x.transpose(4, 3, 0, 1, 2),
)
DEPTHWISE = Layout(
    "[channels, 1, t, h, w] to [t, h, w, channels]",
    lambda x: x[:, 0].transpose(1, 2, 3, 0),
    lambda x: x.transpose(3, 0, 1, 2)[:, None],
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """One line of a table: a kind of weight under both names.

    Attributes:
      path: path here, beginning with the collection, such as `params/stage{stage}/block{block}/norm1/scale`.
      name: name in PyTorch, with the same fields in braces.
      layout: the order of axes in both.
      fields: pattern of each field in braces.
    """

    path: str
    name: str
    layout: Layout
    fields: Mapping[str, str]

    def torch_name(self, path: str) -> str | None:
        """The name in PyTorch of the weight at a path here, or None if the rule is about other weights."""
        pattern = re.escape(self.path)
        for field, values in self.fields.items():
            pattern = pattern.replace(re.escape(f"{{{field}}}"), f"(?P<{field}>{values})")
        match = re.fullmatch(pattern, path)
        return self.name.format(**match.groupdict()) if match else None


@dataclasses.dataclass(frozen=True)
class TorchEntry:
    """A weight as PyTorch knows it.

    Attributes:
      name: name in a PyTorch state dict.
      layout: the order of its axes in both frameworks.
    """

    name: str
    layout: Layout


def torch_entry(rules: Sequence[Rule], path: str) -> TorchEntry:
    """The PyTorch name and layout of the weight at a path, from the first rule that matches.

    Args:
      rules: the table of the model.
      path: path of a weight, beginning with its collection and joined by "/".

    Raises:
      KeyError: no rule matches; the table does not cover the model.
    """
    for rule in rules:
        name = rule.torch_name(path)
        if name is not None:
            return TorchEntry(name, rule.layout)
    raise KeyError(f"no rule gives a PyTorch name to {path!r}")
