"""Parameters that lie split over devices and are gathered where a layer reads them.

A model knows nothing of it. Flax lets a variable be a box (`flax.linen.meta.AxisMetadata`), which `Module.param` opens,
in a block, in a block that is computed again in the backward pass, and in the body of a loop over blocks alike. So no
more than the parameters of the blocks at work are whole on a device.
"""

from typing import Any, TypeVar

import jax
from flax import linen as nn
from flax import struct
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from motion_vit.training.step.regex_rules import Tree

_Content = TypeVar("_Content")
_Other = TypeVar("_Other")


class SplitParameter(struct.PyTreeNode, nn.meta.AxisMetadata[_Content]):
    """A parameter that is whole on every device where it is read, and whose gradient is split there again.

    Attributes:
      value: the parameter.
      sharding: how it lies on the devices.
    """

    value: _Content
    sharding: NamedSharding = struct.field(pytree_node=False)

    def unbox(self) -> _Content:
        """Returns the parameter whole. Its gradient passes the same two layouts the other way."""
        whole = NamedSharding(self.sharding.mesh, PartitionSpec())
        split = lax.with_sharding_constraint(self.value, self.sharding)
        gathered: _Content = lax.with_sharding_constraint(split, whole)
        return gathered

    def replace_boxed(self, val: _Other) -> "SplitParameter[_Other]":
        """Returns the box with another content."""
        return SplitParameter(val, self.sharding)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "SplitParameter[_Content]":
        """Returns the box of a parameter that a lifted transformation has stacked along a new axis."""
        spec = [*self.sharding.spec, *(None,) * index]
        return self._split_by([*spec[:index], None, *spec[index:]])

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "SplitParameter[_Content]":
        """Returns the box of the parts along an axis, such as those that `flax.linen.scan` loops over."""
        spec = self.sharding.spec
        return self._split_by([*spec[:index], *spec[index + 1 :]])

    def _split_by(self, spec: list[Any]) -> "SplitParameter[_Content]":
        return SplitParameter(self.value, NamedSharding(self.sharding.mesh, PartitionSpec(*spec)))


def gathered_where_read(params: Tree, sharding: Tree) -> Tree:
    """Makes parameters gather themselves where the layers of a model read them, by `flax.linen.Module.param`.

    Args:
      params: the parameters of a model.
      sharding: `NamedSharding` of each.

    Returns:
      The parameters, those that are split over devices in boxes; for `flax.linen.Module.apply`.
    """

    def box(leaf: Any, lies: NamedSharding) -> Any:
        return leaf if lies.is_fully_replicated else SplitParameter(leaf, lies)

    return jax.tree.map(box, params, sharding)
