"""Names of weights here and in PyTorch, as tables of rules that read in both directions."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

from motion_vit.errors import UserError
from motion_vit.interop.families.layouts import LINEAR, SAME, Layout

STEP_COUNTER = "num_batches_tracked"
"""PyTorch's count of BatchNorm updates. It is used only without a momentum, which no model here does."""

RUNNING_MEAN = "running_mean"
"""What lies beside a step counter, in every BatchNorm."""


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
        """Names the weight at a path in PyTorch.

        Args:
          path: a path here, beginning with the collection.

        Returns:
          None if the rule is about other weights.
        """
        match = self._pattern.fullmatch(path)
        return self.name.format(**match.groupdict()) if match else None

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Compiles what paths are compared with once, because a network asks every rule for each of its weights."""
        pattern = re.escape(self.path)
        for field, values in self.fields.items():
            pattern = pattern.replace(re.escape(f"{{{field}}}"), f"(?P<{field}>{values})")
        return re.compile(pattern)


@dataclasses.dataclass(frozen=True)
class Scope:
    """A module under both names, and the rules of the layers in it.

    Attributes:
      path: path here, without the collection, with "/" at the end unless it is empty.
      name: name in PyTorch, with "." at the end unless it is empty.
      fields: pattern of each field in braces, of the module and of the layers in it.
    """

    path: str = ""
    name: str = ""
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def inner(self, path: str, name: str) -> "Scope":
        """Names a module inside of this one.

        Args:
          path: path from here, with "/" at the end unless it is empty.
          name: name from here, with "." at the end unless it is empty.
        """
        return Scope(self.path + path, self.name + name, self.fields)

    def weight(self, path: str, name: str, layout: Layout = SAME) -> Rule:
        """Makes the rule of one parameter.

        Args:
          path: path of the parameter in this module.
          name: name of the parameter in this module.
          layout: the order of axes in both.
        """
        return self._rule("params", path, name, layout)

    def kernel(self, path: str, name: str, layout: Layout = LINEAR) -> Rule:
        """Makes the rule of a layer that has a kernel and no bias.

        Args:
          path: path of the layer.
          name: name of the layer.
          layout: the order of the kernel's axes in both.
        """
        return self.weight(f"{path}/kernel", f"{name}.weight", layout)

    def layer(self, path: str, name: str, layout: Layout = LINEAR) -> tuple[Rule, Rule]:
        """Makes the rules of a layer: its kernel and its bias.

        Args:
          path: path of the layer.
          name: name of the layer.
          layout: the order of the kernel's axes in both.
        """
        return self.kernel(path, name, layout), self.weight(f"{path}/bias", f"{name}.bias")

    def norm(self, path: str, name: str) -> tuple[Rule, Rule]:
        """Makes the rules of a normalisation: its scale and its bias.

        Args:
          path: path of the layer.
          name: name of the layer.
        """
        return self.weight(f"{path}/scale", f"{name}.weight"), self.weight(f"{path}/bias", f"{name}.bias")

    def statistics(self, path: str, name: str) -> tuple[Rule, Rule]:
        """Makes the rules of what a BatchNorm counts: its running mean and variance.

        Args:
          path: path of the layer.
          name: name of the layer.
        """
        mean = self._rule("batch_stats", f"{path}/mean", f"{name}.{RUNNING_MEAN}", SAME)
        return mean, self._rule("batch_stats", f"{path}/var", f"{name}.running_var", SAME)

    def batch_norm(self, path: str, name: str) -> tuple[Rule, ...]:
        """Makes the rules of a BatchNorm: scale, bias and running statistics.

        Args:
          path: path of the layer.
          name: name of the layer.
        """
        return *self.norm(path, name), *self.statistics(path, name)

    def _rule(self, collection: str, path: str, name: str, layout: Layout) -> Rule:
        return Rule(f"{collection}/{self.path}{path}", f"{self.name}{name}", layout, self.fields)


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
    """Looks up the PyTorch name and layout of the weight at a path: those of the first rule that matches.

    Args:
      rules: the table of the model.
      path: path of a weight, beginning with its collection and joined by "/".

    Raises:
      UserError: no rule matches; the table does not cover the model, as of a motion module of another package.
    """
    for rule in rules:
        name = rule.torch_name(path)
        if name is not None:
            return TorchEntry(name, rule.layout)
    raise UserError(
        f"no PyTorch name is known for the weight {path!r}: the rules of its model family do not cover it. Add a rule "
        "to the family (motion_vit.register_family), or choose another format."
    )
