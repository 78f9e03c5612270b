"""Reads weights of other frameworks as trained models of this library, with what must be known to use them."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.interop.families.name_rules import RUNNING_MEAN, STEP_COUNTER
from motion_vit.interop.families.registry import model_family
from motion_vit.interop.files.stored_tensor import StoredTensor
from motion_vit.interop.files.torch_files import Source, describe_source
from motion_vit.interop.importing.inflation import Inflation
from motion_vit.interop.importing.report import ImportReport
from motion_vit.interop.importing.state_dict import load_state_dict, open_for_model
from motion_vit.interop.importing.weight_slots import Fitting
from motion_vit.models.options import model_options
from motion_vit.models.registry import create_model
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.recipe.checks import build_model, validate_fields
from motion_vit.training.recipe.config import config_from_dict, default_config


@dataclasses.dataclass(frozen=True)
class ForeignModel:
    """A model with weights of another framework.

    Attributes:
      trained: the model with its weights.
      report: fate of every weight.
      notes: assumptions and remarks, as sentences.
    """

    trained: TrainedModel
    report: ImportReport
    notes: tuple[str, ...]


def read_weights(
    source: Source,
    model_name: str,
    *,
    where: str | None = None,
    options: Mapping[str, Any] | None = None,
    label_names: Sequence[str] | None = None,
    clips: Mapping[str, Any] | None = None,
    anew: Collection[str] = (),
    inflation: Inflation | None = None,
    resize: bool = False,
    state: str | None = None,
    strict: bool = True,
    seed: int = 0,
) -> ForeignModel:
    """Reads foreign weights.

    Args:
      source: as `motion_vit.interop.importing.state_dict.load_torch` takes it.
      model_name: one of `motion_vit.list_models()`.
      where: what messages call the source; its path by default.
      options: as for `motion_vit.interop.importing.import_weights.import_weights`, and all others, too.
      label_names: likewise.
      clips: likewise.
      anew: likewise.
      inflation: likewise.
      resize: likewise.
      state: likewise.
      strict: likewise.
      seed: likewise.

    Returns:
      The model, the report and remarks.

    Raises:
      CheckpointImportError: weights do not fit the model.
      UserError: an argument is not as expected.
    """
    options = dict(options or {})
    where = describe_source(source) if where is None else where
    preset = create_model(model_name, **options)
    family = model_family(preset)
    with open_for_model(preset, source, state) as state_dict:
        shapes = {name: tensor.shape for name, tensor in state_dict.tensors.items()}
        found = family.options(shapes)
        options = {name: found[name] for name in family.adopted if name in found} | options
        source_classes = found.get("num_classes")
        label_names = _label_names(label_names, options.get("num_classes"), source_classes, where, anew)
        recorded = family.clips(found) | dict(clips or {})
        config = _recipe(model_name, options, recorded, preset.frames, preset.image_size)
        model = build_model(config, len(label_names)).model
        fitting = Fitting(anew, inflation, resize)
        variables, report = load_state_dict(model, state_dict, where, fitting, strict=strict, rng=jax.random.key(seed))
        step = _counted_steps(state_dict.tensors, report.loaded)
    notes = (*_notes(config, label_names, clips or {}), *family.notes(shapes, model_options(model)))
    trained = TrainedModel(model, variables, tuple(label_names), config, step=step)
    return ForeignModel(trained, report, notes)


def _counted_steps(tensors: Mapping[str, StoredTensor], loaded: Collection[str]) -> int:
    """Returns the training steps that the step counters of all BatchNorms agree on, and 0 where they do not."""
    names = [name.removesuffix(RUNNING_MEAN) + STEP_COUNTER for name in loaded if name.endswith(f".{RUNNING_MEAN}")]
    counters = [tensors[name] for name in names if name in tensors]
    if any(counter.shape != () or not np.issubdtype(counter.dtype, np.integer) for counter in counters):
        return 0
    counts = {int(counter.read()) for counter in counters}
    return max(0, counts.pop()) if len(counts) == 1 else 0


def _label_names(
    label_names: Sequence[str] | None, asked: int | None, of_source: int | None, where: str, anew: Collection[str]
) -> Sequence[str]:
    """Returns the names of the classes; their number must agree with labels, options and weights."""
    kept = None if "head" in anew else of_source
    numbers = {
        "there are {} label names": len(label_names) if label_names is not None else None,
        "num_classes is {}": asked,
        f"the weights of {where} tell {{}} classes apart": kept,
    }
    given = {text.format(number): number for text, number in numbers.items() if number is not None}
    if not given:
        raise UserError(
            "the number of classes is not known. Give the names of the classes with --labels, or num_classes=N."
        )
    if len(set(given.values())) > 1:
        advice = "" if kept is None else " --new head starts a head for other classes anew."
        raise UserError(
            f"the numbers of classes do not agree: {', but '.join(given)}. Give the labels of the dataset that the "
            f"weights were trained on, in the order of its classes.{advice}"
        )
    count = next(iter(given.values()))
    return label_names if label_names is not None else [f"class {number}" for number in range(count)]


def _recipe(
    model_name: str, options: Mapping[str, Any], clips: Mapping[str, Any], frames: int, size: int
) -> ConfigDict:
    """Makes the default recipe with the model, and with the clips that the weights expect."""
    kept = {name: value for name, value in options.items() if name not in ("num_classes", "frames", "image_size")}
    config = config_from_dict(
        {
            "model": {"name": model_name, "options": kept},
            "data": {**clips, "frames": frames, "size": size},
        }
    )
    validate_fields(config)
    return config


def _notes(config: ConfigDict, label_names: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    data = config.data
    notes = []
    if "channel_order" not in given:
        notes.append(
            f"colours are taken as {data.channel_order}, as the authors' code read the datasets of as many classes; "
            "--channel-order sets another order"
        )
    if "mean" not in given and tuple(data.mean) != tuple(default_config().data.mean):
        notes.append(f"colours are normalised by mean {tuple(data.mean)} and standard deviation {tuple(data.std)}")
    if "sampling" not in given:
        notes.append(f"frames are taken by {data.sampling} sampling; --sampling sets another")
    if label_names[0] == "class 0":
        notes.append(
            f"the {len(label_names)} classes have no names, without which labelled videos cannot be compared; give "
            "them with --labels"
        )
    return notes
