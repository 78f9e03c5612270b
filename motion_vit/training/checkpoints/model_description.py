"""`config.json`: everything besides the weights that using a trained model takes, here or in another framework.

Every export contains it. Its `preprocessing` describes how pixels become inputs. `frames` are sampled from the video,
followed by `extra_frames` at the same spacing, which an input adapter takes. They are resized with their aspect so that
the short side has `image_size` pixels, cropped to a square, and scaled to `pixel_range`. They become `(pixel - mean) /
std`, with `mean` and `std` of red, green and blue in this order. `channel_order` is the order of the three in the last
axis after that.

From `format_version` 2 on, `files` holds the size and the CRC-32 of each file of weights beside it. `checksum` is the
CRC-32 of the other fields: of their JSON with sorted keys, no blanks, and every letter beyond ASCII escaped.
`"checksum": null` marks a file that was edited by hand.
"""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.models.checked_model import checked_model
from motion_vit.models.options import extra_frames, model_options, model_traits
from motion_vit.models.video_model import VideoModel
from motion_vit.ranges import SHARE, STEP, refusal
from motion_vit.training.checkpoints.checksums import Checksum, checksum_of, crc32_of, read_checksum
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.recipe.checks import fields_that_set_options, validate_fields
from motion_vit.training.recipe.config import config_from_dict, default_config, flatten, to_json

CONFIG_FILE = "config.json"
FORMAT = "motion_vit"
FORMAT_VERSION = 2

HUB_PREFIX = "hf:"
"""Begins the name of a repository on the Hugging Face hub in the place of a folder: `hf:owner/name@revision`."""

_FIRST_WITH_CHECKSUMS = 2

_LARGEST_FILE = 64 * 2**20
# What `preprocessing` calls fields of the recipe's `data`.
_PREPROCESSING = {
    "frames": "frames",
    "image_size": "size",
    "sampling": "sampling",
    "stride": "stride",
    "mean": "mean",
    "std": "std",
    "channel_order": "channel_order",
    "fps": "fps",
}
# What earlier versions did not write: the recipe's default is what they did.
_LATER_PREPROCESSING = ("fps",)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The content of `config.json`, built and checked.

    Attributes:
      trained: the model without variables.
      weights_dtype: stored form of the weights.
      shapes: shapes of the variables, nested.
      files: checksums of the files beside it, by name; {} in files of older versions.
    """

    trained: TrainedModel
    weights_dtype: WeightDtype
    shapes: Mapping[str, Any]
    files: Mapping[str, Checksum]


def description_of(trained: TrainedModel, dtype: WeightDtype = "float32") -> dict[str, Any]:
    """Describes a model, for the `config.json` of an export.

    Args:
      trained: its variables are not stored here.
      dtype: stored form of the weights.

    Returns:
      A nested mapping for JSON.
    """
    data = trained.config.data
    extra = trained.model.clip_shape[0] - trained.model.frames
    shape = {"frames": trained.model.frames, "extra_frames": extra, "image_size": trained.model.image_size}
    fields = {name: data[field] for name, field in _PREPROCESSING.items()}
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": importlib.metadata.version("motion_vit"),
        "model": {"name": trained.config.model.name, "options": model_options(trained.model)},
        "label_names": trained.label_names,
        "preprocessing": {**fields, **shape, "pixel_range": [0, 1], "layout": "b t h w c"},
        "step": trained.step,
        "averaged": trained.averaged,
        "frame_rate": trained.frame_rate,
        "weights_dtype": dtype,
        "evaluation": dict(trained.evaluation),
        "recipe": _recipe_to_give_away(trained.config),
    }
    as_read: dict[str, Any] = json.loads(json.dumps(description))
    return as_read


def with_checksums(description: Mapping[str, Any], files: Iterable[pathlib.Path]) -> dict[str, Any]:
    """Adds the checksums to the content of `config.json`.

    Args:
      description: of `description_of`, with additions by an export.
      files: files of weights beside it.

    Returns:
      The whole content.

    Raises:
      OSError: a file cannot be read.
    """
    checked = {**description, "files": {path.name: checksum_of(path)._asdict() for path in files}}
    return {**checked, "checksum": _own_checksum(checked)}


def _own_checksum(values: Mapping[str, Any]) -> str:
    """Computes the checksum of the fields; layout and order of the text do not count."""
    fields = {name: value for name, value in values.items() if name != "checksum"}
    return crc32_of(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def _recipe_to_give_away(config: ConfigDict) -> dict[str, Any]:
    """Returns the recipe for JSON, without the notes of the run and the paths of data on this machine."""
    recipe: dict[str, Any] = json.loads(to_json(config))
    recipe["notes"] = None
    for name in ("initial_weights", "temporal_weights"):
        if not config[name].startswith(HUB_PREFIX):  # which is no path
            recipe[name] = pathlib.PurePath(config[name]).name
    for name in ("train", "validation"):
        recipe["data"][name] = pathlib.PurePath(config.data[name]).name
    return recipe


def is_description(path: pathlib.Path) -> bool:
    """Tells a `config.json` of this library from another library's file.

    Args:
      path: the file.

    Returns:
      False also for a file that is missing or damaged.
    """
    try:
        return bool(_read(path).get("format") == FORMAT)
    except UserError:
        return False


def read_description(path: pathlib.Path) -> ModelDescription:
    """Reads `config.json` and builds the model that it describes.

    Args:
      path: the file.

    Returns:
      The model without variables, the form of its weights and their shapes.

    Raises:
      UserError: the file is missing, damaged, of a later version, or does not describe a model.
    """
    return described_model(_read(path), path)


def described_model(values: Mapping[str, Any], path: pathlib.Path) -> ModelDescription:
    """Builds the model that the content of `config.json` describes.

    Args:
      values: the content.
      path: the file that it was read from, for messages.

    Returns:
      As `read_description`.

    Raises:
      UserError: as `read_description`.
    """
    if values.get("format") != FORMAT:
        raise UserError(
            f"{path} is no description of a {FORMAT} model: its format is {values.get('format')!r}. Give a folder of "
            "`motion-vit export --format safetensors` or `motion-vit import`."
        )
    version = values.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise UserError(
            f"{path} has format_version {version!r}, written by motion_vit {values.get('library_version')}; this "
            f"version reads up to {FORMAT_VERSION}. Install a newer motion_vit."
        )
    if version >= _FIRST_WITH_CHECKSUMS:
        _check_unchanged(values, path)
    try:
        return _build(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _check_unchanged(values: Mapping[str, Any], path: pathlib.Path) -> None:
    """Compares the fields with their checksum."""
    if "checksum" not in values or values["checksum"] not in (None, _own_checksum(values)):
        raise UserError(
            f"{path} is damaged: its fields are not those that were written, by its field checksum. Copy the folder "
            'again; if you have edited the file yourself, set "checksum": null in it.'
        )


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(f"{path} has {path.stat().st_size} bytes, which is no {CONFIG_FILE} of a model.")
        values = read_json(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing, without which the weights beside it cannot be used. Copy the whole folder."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}. Copy the folder again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: it holds a {type(values).__name__} in place of named fields.")
    return values


def _build(values: Mapping[str, Any]) -> ModelDescription:
    model_name = _field(_field(values, "model", dict), "name", str)
    options = _field(_field(values, "model", dict), "options", dict)
    label_names = _field(values, "label_names", list)
    if not all(isinstance(name, str) for name in label_names) or len(set(label_names)) != len(label_names):
        raise UserError("label_names must be different texts.")
    weights_dtype = _field(values, "weights_dtype", str)
    if weights_dtype not in get_args(WeightDtype):
        raise UserError(f"weights_dtype is {weights_dtype!r}, but must be one of {', '.join(get_args(WeightDtype))}.")
    preprocessing = _field(values, "preprocessing", dict)
    for name in ("frames", "image_size"):
        _check_same(name, _field(preprocessing, name, int), _field(options, name, int))
    _field(options, "dtype", str)
    traced = checked_model(model_name, options)
    model = traced.model
    _check_adapter(preprocessing, options, model)
    if model.num_classes != len(label_names):
        raise UserError(f"the model has {model.num_classes} classes, but there are {len(label_names)} label_names.")
    evaluation = _field(values, "evaluation", dict)
    for name in ("top1", "top5"):
        if not SHARE.holds(evaluation.get(name, 0.0)):
            raise UserError(f"{refusal(f'evaluation.{name}', evaluation[name], SHARE)}.")
    if not STEP.holds(_field(values, "step", int)):
        raise UserError(f"{refusal('step', values['step'], STEP)}.")
    trained = TrainedModel(
        model,
        {},
        tuple(label_names),
        _recipe(_field(values, "recipe", dict), model_name, options, preprocessing),
        step=values["step"],
        averaged=_field(values, "averaged", bool),
        evaluation=evaluation,
        frame_rate=_field(values, "frame_rate", float) if "frame_rate" in values else 0.0,
    )
    return ModelDescription(trained, weights_dtype, traced.shapes, _files(values))


def _files(values: Mapping[str, Any]) -> dict[str, Checksum]:
    if values["format_version"] < _FIRST_WITH_CHECKSUMS:
        return {}
    try:
        return {name: read_checksum(value) for name, value in _field(values, "files", dict).items()}
    except ValueError as error:
        raise UserError(f"files does not hold a size and a checksum for each file: {error}.") from error


def _check_adapter(preprocessing: Mapping[str, Any], options: Mapping[str, Any], model: VideoModel) -> None:
    """Checks that the described inputs are those of the model's input adapter."""
    if "extra_frames" in preprocessing:  # which files of models without an adapter did not always say
        _check_same("extra_frames", _field(preprocessing, "extra_frames", int), extra_frames(options))
    own = model_options(model)
    names = {f"data.{field}": name for name, field in _PREPROCESSING.items()}
    for option, traits in model_traits(model).items():
        if traits.effect == "inputs":
            name = names[traits.recipe_field]
            value = _field(preprocessing, name, object)
            _check_same(name, tuple(value) if isinstance(value, list) else value, own[option])


def _check_same(name: str, described: Any, of_model: Any) -> None:
    if described != of_model:
        raise UserError(
            f"{name} is {described} in preprocessing and {of_model} in the model's options, but must be the same."
        )


def _recipe(
    written: Mapping[str, Any], model_name: str, options: Mapping[str, Any], preprocessing: Mapping[str, Any]
) -> ConfigDict:
    """Returns the recipe, updated by the rest of the description, which the weights depend on."""
    known = flatten(default_config())
    # Fields that only an earlier or later version knows are about training, which is over.
    fields = {name: value for name, value in flatten(written).items() if name in known}
    for name, field in _PREPROCESSING.items():
        if name in preprocessing or name not in _LATER_PREPROCESSING:
            fields[f"data.{field}"] = _field(preprocessing, name, object)
    if fields.get("model.name") != model_name:
        fields["model.name"] = model_name
        elsewhere = {"num_classes", *fields_that_set_options(model_name)}
        fields["model.options"] = {name: value for name, value in options.items() if name not in elsewhere}
    try:
        return _checked(fields)
    except UserError:
        # What a later version refuses about training does not make weights unusable.
        kept = {name: value for name, value in fields.items() if _concerns_weights(name)}
        return _checked(kept | _evidence_fields(fields))


def _evidence_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that say what makes evidence of logits; none of a model that was trained otherwise."""
    if fields.get("loss.name") != "evidential":
        return {}
    options = fields.get("loss.options")
    named = {"evidence": options["evidence"]} if isinstance(options, Mapping) and "evidence" in options else {}
    # Without calibration, so that no target of training is refused, which is over.
    return {"loss.name": "evidential", "loss.options": {**named, "calibration": False}}


def _concerns_weights(field: str) -> bool:
    return field.startswith("model.") or field.removeprefix("data.") in _PREPROCESSING.values()


def _checked(fields: Mapping[str, Any]) -> ConfigDict:
    config = config_from_dict(fields)
    validate_fields(config)
    return config


def _field(values: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in values:
        raise UserError(f"the field {name} is missing.")
    value = values[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise UserError(f"{name} is a {type(value).__name__}, but must be a {kind.__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value}, but must be a number.")
    return value
