"""Matches the weights of a source with the variables of a model, and converts them."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from motion_vit.interop.families.layouts import SAME
from motion_vit.interop.families.motion_prompt import PROMPTED_BACKBONE
from motion_vit.interop.families.name_rules import STEP_COUNTER, TorchEntry
from motion_vit.interop.families.registry import model_family, torch_entries
from motion_vit.interop.families.state_dict_shapes import has_own_names
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor
from motion_vit.interop.importing.inflation import Inflation, inflate, inflates
from motion_vit.interop.importing.report import ImportReport
from motion_vit.interop.importing.resizing import resize, resizes
from motion_vit.interop.importing.window_tables import is_image_table, table_for_clips
from motion_vit.models.video_model import VideoModel


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Allowed changes to weights that do not fit.

    Attributes:
      anew: parts of the model that start anew.
      inflation: method of turning image convolutions into convolutions of clips; None refuses them. Tables of biases
        for displacements within windows of images are then taken, too.
      resize: whether embeddings of other places and times are taken.
    """

    anew: Collection[str] = ()
    inflation: Inflation | None = None
    resize: bool = False


@dataclasses.dataclass(frozen=True)
class Slot:
    """The place of a source's weight in the model.

    Attributes:
      path: the path in the model.
      entry: its name and layout in the source.
      shape: its shape in the source's layout.
      anew: whether the weight starts anew.
      original: source name of the weight that it starts as a copy of, if it starts anew as a copy.
      window: of the family; see `ModelFamily.window`.
    """

    path: str
    entry: TorchEntry
    shape: Shape
    anew: bool
    original: str | None
    window: tuple[int, int, int] | None = None

    def inflates(self, given: Shape) -> bool:
        """Tells if the source may have a weight of this shape from a network for images."""
        return inflates(given, self.shape) or (self.window is not None and is_image_table(given, self.shape))


def weight_slots(
    model: VideoModel, shapes: Mapping[str, Shape], names: Collection[str], anew: Collection[str]
) -> dict[str, Slot]:
    """Assigns the weights of a source to the variables of a model.

    Args:
      model: a model of `motion_vit.create_model`.
      shapes: shapes of its variables by path.
      names: names in the source, without a common prefix.
      anew: parts of the model that start anew.

    Returns:
      Name in the source -> slot, for every variable of the model; PyTorch's name where the source lacks it.

    Raises:
      UserError: the model has no such part, or no PyTorch counterpart.
    """
    family = model_family(model)
    starts_anew = {path: family.starts_anew(path, anew) for path in shapes}
    entries = _source_entries(model, shapes, names)
    slots = {}
    for path, entry in entries.items():
        original = family.copied_from(path, anew)
        slots[entry.name] = Slot(
            path,
            entry,
            entry.layout.torch_shape(shapes[path]),
            starts_anew[path],
            entries[original].name if original else None,
            family.window(model.inner),
        )
    return slots


def _source_entries(model: VideoModel, paths: Iterable[str], names: Collection[str]) -> dict[str, TorchEntry]:
    """Finds the names and layouts in the source of the weights at some paths."""
    if has_own_names(names):
        return {path: TorchEntry(path, SAME) for path in paths}
    entries = torch_entries(model, paths)
    in_model = {path: entry.name.removeprefix(PROMPTED_BACKBONE) for path, entry in entries.items()}
    in_source = {own: name for name, own in model_family(model).names(names, list(in_model.values())).items()}
    return {
        path: TorchEntry(in_source.get(in_model[path], in_model[path]), entry.layout) for path, entry in entries.items()
    }


def compare(
    where: str, tensors: Mapping[str, StoredTensor], slots: Mapping[str, Slot], fitting: Fitting, beside: str = ""
) -> ImportReport:
    """Compares the weights of a source with a model.

    Args:
      where: name of the source in the report.
      tensors: weights of the source, by name.
      slots: of `weight_slots`.
      fitting: allowed changes to the weights.
      beside: matches the names of weights that are no part of the network, as `ModelFamily.beside`.

    Returns:
      The report.
    """
    wanted = {name: slot for name, slot in slots.items() if not slot.anew}
    both = {name: (tensors[name].shape, slot.shape) for name, slot in wanted.items() if name in tensors}
    inflated = {name: pair for name, pair in both.items() if fitting.inflation and wanted[name].inflates(pair[0])}
    resized = {name: pair for name, pair in both.items() if fitting.resize and resizes(wanted[name].path, *pair)}
    misshapen = {
        name: pair for name, pair in both.items() if pair[0] != pair[1] and name not in inflated and name not in resized
    }
    loaded = tuple(name for name in both if name not in misshapen)
    ignored = tuple(name for name in tensors if name.rpartition(".")[2] == STEP_COUNTER)
    unknown = {name: tensor.shape for name, tensor in tensors.items() if name not in slots and name not in ignored}
    outside = {name: shape for name, shape in unknown.items() if beside and re.fullmatch(beside, name)}
    copied = {
        name: slot.original
        for name, slot in slots.items()
        if slot.anew and slot.original in loaded and tensors[slot.original].shape == slot.shape
    }
    return ImportReport(
        source=where,
        loaded=loaded,
        missing={name: slot.shape for name, slot in wanted.items() if name not in tensors},
        unexpected={name: shape for name, shape in unknown.items() if name not in outside},
        misshapen=misshapen,
        ignored=ignored,
        outside=outside,
        reshaped={n: wanted[n].entry.layout.description for n in loaded if wanted[n].entry.layout is not SAME},
        inflated={name: pair for name, pair in inflated.items() if len(pair[1]) == 2 or pair[1][2] > 1},
        resized=resized,
        copied=copied,
        anew={name: slot.shape for name, slot in slots.items() if slot.anew and name not in copied},
        replaced={name: tensors[name].shape for name, slot in slots.items() if slot.anew and name in tensors},
    )


def place(array: np.ndarray, slot: Slot, fitting: Fitting) -> np.ndarray:
    """Converts a weight of the source to the shape and layout of the model.

    Args:
      array: the weight's values.
      slot: its place in the model.
      fitting: allowed changes to the weights.

    Returns:
      The variable's value.
    """
    if fitting.inflation and inflates(array.shape, slot.shape):
        array = inflate(array, slot.shape[2], fitting.inflation)
    elif fitting.inflation and slot.window is not None and is_image_table(array.shape, slot.shape):
        array = table_for_clips(array, slot.window)
    if fitting.resize and resizes(slot.path, array.shape, slot.shape):
        array = resize(slot.path, array, slot.shape)
    return slot.entry.layout.to_flax(array)
