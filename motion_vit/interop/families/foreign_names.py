"""Names of the same weights in another code, as tables that read in both directions.

A family has one naming scheme of its own, that of its rules. Where other codes publish weights under other names, cut
into queries, keys and values, or in Flax's layouts, a table of `ForeignName` says what is what.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from motion_vit.interop.families.layouts import SAME, Layout
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor, join_tensors

_PARTS = ("query", "key", "value")
_PART = re.compile(r"(.*attn\.)query\.(weight|bias)")
_LONGEST_NUMBER = 9  # digits; one of millions takes long to read


@dataclasses.dataclass(frozen=True)
class ForeignName:
    """A kind of weight under both names, in which `{n}` stands for the number of a block.

    Attributes:
      foreign: name in the other code.
      own: name in the family's scheme, where queries, keys and values are apart: `attn.query`, `attn.key`,
        `attn.value`.
      layout: what takes the other code's array to PyTorch's layout (`to_torch`), and back.
      axes: number of axes of the other code's array; None for any.
    """

    foreign: str
    own: str
    layout: Layout = SAME
    axes: int | None = None

    def own_name(self, name: str, shape: Shape) -> str | None:
        """Returns the family's name for a weight; None if it is another one, or no such array.

        Args:
          name: in the other code.
          shape: in the other code.
        """
        return _renamed(self.foreign, self.own, name) if self.axes in (None, len(shape)) else None

    def foreign_name(self, name: str) -> str | None:
        """Returns the other code's name for a weight; None if it is another one.

        Args:
          name: in the family's scheme.
        """
        return _renamed(self.own, self.foreign, name)


def from_foreign(tensors: Mapping[str, StoredTensor], table: Sequence[ForeignName]) -> dict[str, StoredTensor]:
    """Gives the weights of another code the names and layouts of the family, without reading them.

    Args:
      tensors: weights of the source by name.
      table: names in the other code.

    Returns:
      Weights by name, queries, keys and values joined. Those that the table does not know keep their names.
    """
    renamed = dict(_renamed_tensors(tensors, table))
    joined: dict[str, StoredTensor] = {}
    for found in filter(None, map(_PART.fullmatch, list(renamed))):
        names = [f"{found[1]}{part}.{found[2]}" for part in _PARTS]
        if all(name in renamed and renamed[name].shape == renamed[names[0]].shape != () for name in names):
            joined[f"{found[1]}qkv.{found[2]}"] = join_tensors([renamed.pop(name) for name in names])
    return renamed | joined


def to_foreign(arrays: Mapping[str, np.ndarray], table: Sequence[ForeignName]) -> dict[str, np.ndarray]:
    """Gives weights the names and layouts of another code: the inverse of `from_foreign`.

    Args:
      arrays: weights by the family's name, in PyTorch's layouts.
      table: names in the other code.

    Returns:
      Weights by name. Those that the table does not know, such as those of cost volumes, keep their names.
    """
    named = {}
    for name, array in _cut(arrays):
        entry = next((entry for entry in table if entry.foreign_name(name) is not None), None)
        if entry is None:
            named[name] = array
        else:
            named[_renamed(entry.own, entry.foreign, name) or name] = entry.layout.to_flax(array)
    return named


def _renamed_tensors(
    tensors: Mapping[str, StoredTensor], table: Sequence[ForeignName]
) -> Iterator[tuple[str, StoredTensor]]:
    for name, tensor in tensors.items():
        found = ((entry, entry.own_name(name, tensor.shape)) for entry in table)
        entry, own = next((pair for pair in found if pair[1] is not None), (None, None))
        if entry is None or own is None:
            yield name, tensor
        else:
            yield own, _in_torch_layout(tensor, entry.layout)


def _in_torch_layout(tensor: StoredTensor, layout: Layout) -> StoredTensor:
    return StoredTensor(layout.torch_shape(tensor.shape), tensor.dtype, lambda: layout.to_torch(tensor.read()))


def _cut(arrays: Mapping[str, np.ndarray]) -> Iterable[tuple[str, np.ndarray]]:
    """Cuts what makes queries, keys and values into three."""
    for name, array in arrays.items():
        before, joined, after = name.partition("attn.qkv.")
        if joined:
            for part, own in zip(_PARTS, np.split(array, 3), strict=True):
                yield f"{before}attn.{part}.{after}", own
        else:
            yield name, array


def _renamed(template: str, other: str, name: str) -> str | None:
    beginning, numbered, end = template.partition("{n}")
    if not numbered:
        return other if name == template else None
    number = name[len(beginning) : len(name) - len(end)]
    if name != f"{beginning}{number}{end}" or not number.isdecimal() or len(number) > _LONGEST_NUMBER:
        return None
    return other.replace("{n}", number)
