"""Reads folders as transformers writes them: `config.json`, `preprocessor_config.json` and files of weights.

Nothing in them is executed: JSON, safetensors, and files of `torch.save` by this library's own reader. Of a folder that
`motion-vit export --format huggingface` wrote, `config.json` also holds this library's own description, and the model
is as it was.
"""

import collections
import contextlib
import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.interop.families.huggingface import OWN_DESCRIPTION, PROCESSOR_FILE, real_number
from motion_vit.interop.families.registry import hugging_face_classes, model_family
from motion_vit.interop.files.stored_tensor import StoredTensor
from motion_vit.interop.files.torch_files import open_state_dict
from motion_vit.interop.importing.read_weights import ForeignModel, read_weights
from motion_vit.interop.importing.state_dict import load_state_dict, open_for_model
from motion_vit.interop.importing.weight_slots import Fitting
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.registry import create_model, list_models
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.checksums import damage
from motion_vit.training.checkpoints.model_description import CONFIG_FILE, described_model

INDEX_SUFFIX = ".index.json"
"""Ending of the file that says which of several files holds a weight."""

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights, the one to take first; each may also be several, with an index of its name."""

_PIXELS = 255
_SHARD = re.compile(r"[\w-][\w.-]*")
_CLASSIFIER = "classifier.weight"
_LABELS_BY_DEFAULT = ("LABEL_0", "LABEL_1")


def is_hugging_face_folder(path: pathlib.Path) -> bool:
    """Tells if a folder is one of transformers, of any architecture.

    Args:
      path: the folder, which need not exist.

    Returns:
      False also where `config.json` is missing or damaged.
    """
    try:
        config = read_json(path / CONFIG_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and isinstance(config.get("model_type"), str)


def read_hugging_face_folder(
    path: pathlib.Path,
    *,
    where: str | None = None,
    options: Mapping[str, Any] | None = None,
    label_names: Sequence[str] | None = None,
    clips: Mapping[str, Any] | None = None,
) -> ForeignModel:
    """Reads a folder of transformers as a trained model.

    Args:
      path: the folder.
      where: what messages call it; the path by default.
      options: of the model, where `config.json` is known to be wrong.
      label_names: names of the classes; by default those of the folder.
      clips: preprocessing, as for `motion_vit.interop.importing.read_weights.read_weights`; by default that of the
        folder, and the sampling of the model's authors.

    Returns:
      The model, the fate of every weight, and remarks. A classifier that the folder lacks starts at random, which the
      remarks say.

    Raises:
      CheckpointImportError: weights do not fit the model.
      UserError: a file is missing or damaged, the architecture is none of this library's, or an option of it is not.
    """
    where = str(path) if where is None else where
    check_architecture(path, where)
    config = _read_config(path, where)
    files = weights_files(path, where)
    if isinstance(config, dict) and OWN_DESCRIPTION in config:
        return _own_model(path, config[OWN_DESCRIPTION], files, where)
    architecture = config.get("model_type") if isinstance(config, dict) else None
    known = hugging_face_classes()
    if architecture is None:
        raise UserError(f"{where}: {CONFIG_FILE} names no architecture (model_type), as those of transformers do.")
    form = model_family(known[architecture]()).huggingface
    assert form is not None  # hugging_face_classes lists the families that have one
    try:
        found = {**form.options(config), **(options or {})}
        named_by_folder = _label_names(config)
    except UserError as error:
        raise UserError(f"{where}: of {CONFIG_FILE}, {error}") from error
    with _open_all(files) as tensors:
        has_classifier = _CLASSIFIER in tensors
        labels = label_names if label_names is not None else named_by_folder
        if labels is None and not has_classifier:
            labels = _LABELS_BY_DEFAULT
        family = model_family(known[architecture]())
        usual = family.clips({**found, "num_classes": len(labels) if labels is not None else None})
        stated, notes = _clips(path, where, found["image_size"])
        is_turned = "channel_order" in stated and "channel_order" not in (clips or {})
        if is_turned and usual.get("channel_order", "rgb") != "rgb":
            notes.append(
                "colours are taken as red, green, blue, as transformers feeds them; the authors' code read datasets of "
                f"{len(labels or ())} classes as blue, green, red"
            )
        model = read_weights(
            tensors,
            _nearest_model(known[architecture], found),
            where=where,
            options=found,
            label_names=labels,
            clips={**usual, **stated, **(clips or {})},
            anew=() if has_classifier else form.without_classifier,
        )
    if not has_classifier:
        notes.append(
            "these weights have no classifier, and it starts at random: start a training run from them with "
            "initial_weights, and predict with what that makes"
        )
    if "sampling" not in {**usual, **(clips or {})}:
        notes.append("nothing says how frames were taken of videos: they are spread over the whole of it")
    return dataclasses.replace(model, notes=tuple(notes))


def check_architecture(path: pathlib.Path, where: str) -> None:
    """Refuses a folder of transformers of an architecture that this library lacks, by its `config.json` alone.

    Args:
      path: the folder, whose weights need not be there yet.
      where: what messages call it.

    Raises:
      UserError: it is of another architecture, or `config.json` is missing or damaged.
    """
    config = _read_config(path, where)
    if not isinstance(config, dict) or "model_type" not in config or OWN_DESCRIPTION in config:
        return
    known = hugging_face_classes()
    if config["model_type"] not in known:
        named = " and ".join(map(str, config.get("architectures") or [config["model_type"]]))
        raise UserError(
            f"{where} holds {named}, an architecture that is not supported. Of those of transformers, this library "
            f"takes: {', '.join(known)}."
        )


def _read_config(path: pathlib.Path, where: str) -> Any:
    try:
        return read_json(path / CONFIG_FILE)
    except OSError as error:
        raise UserError(f"{where}: {CONFIG_FILE} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{where}: {CONFIG_FILE} is damaged: {error}. Copy or download it again.") from error


def weights_files(path: pathlib.Path, where: str) -> list[pathlib.Path]:
    """Finds the files of weights of a folder.

    Args:
      path: the folder.
      where: what messages call it.

    Returns:
      The files: one, or several that an index lists.

    Raises:
      UserError: there are none, or the index is damaged.
    """
    for name in WEIGHTS_FILES:
        if (path / name).exists():
            return [path / name]
        if (path / f"{name}{INDEX_SUFFIX}").exists():
            return [path / shard for shard in shards(path / f"{name}{INDEX_SUFFIX}")]
    raise UserError(f"{where} has no weights: neither {' nor '.join(WEIGHTS_FILES)}, nor an index of several files.")


def shards(index: pathlib.Path) -> list[str]:
    """Reads which files hold the weights of a folder.

    Args:
      index: the file that says it.

    Returns:
      Names of files beside it.

    Raises:
      UserError: the file is damaged, or names files elsewhere.
    """
    try:
        content = read_json(index)
        files = sorted(set(content["weight_map"].values()))
        if not files or not all(isinstance(file, str) and _SHARD.fullmatch(file) for file in files):
            raise ValueError("it must map names of weights to names of files beside it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of files of weights ({error}). Copy or download it again.") from error
    return files


@contextlib.contextmanager
def _open_all(files: Sequence[pathlib.Path]) -> Iterator[dict[str, StoredTensor]]:
    """Opens the weights of all files."""
    with contextlib.ExitStack() as stack:
        tensors: dict[str, StoredTensor] = {}
        for file in files:
            opened = stack.enter_context(open_state_dict(file)).tensors
            if twice := sorted(tensors.keys() & opened.keys()):
                raise UserError(f"{file} holds {twice[0]}, which another file beside it holds, too.")
            tensors |= opened
        yield tensors


def _own_model(path: pathlib.Path, description: Any, files: Sequence[pathlib.Path], where: str) -> ForeignModel:
    """Reads a model that this library has exported, with all that it described of it."""
    if not isinstance(description, dict):
        raise UserError(f"{where}: the field {OWN_DESCRIPTION} of {CONFIG_FILE} is no description of a model.")
    described = described_model(description, path / CONFIG_FILE)
    model = described.trained.model
    for file in files:
        checksum = described.files.get(file.name)
        if checksum is None:
            raise UserError(f"{file} is not among the files that {CONFIG_FILE} beside it describes.")
        if found := damage(file, str(file), checksum):
            raise UserError(f"the weights are damaged: {found}, by the {CONFIG_FILE} beside it. Copy the folder again.")
    with _open_all(files) as tensors, open_for_model(model, tensors, None) as state_dict:
        variables, report = load_state_dict(model, state_dict, where, Fitting(), strict=True, rng=jax.random.key(0))
    return ForeignModel(dataclasses.replace(described.trained, variables=variables), report, ())


def _label_names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Reads the names of the classes in the order of the logits; a name of several classes gets their numbers."""
    stated = config.get("id2label")
    if stated is None:
        return None
    try:
        names = {int(number): name for number, name in stated.items()}
    except (AttributeError, TypeError, ValueError):
        names = {}
    texts = bool(names) and all(isinstance(name, str) for name in names.values())
    if not texts or sorted(names) != list(range(len(names))):
        raise UserError("its id2label must map the numbers from 0 on to the names of the classes.")
    counts = collections.Counter(names.values())
    return tuple(
        f"{names[number]} ({number})" if counts[names[number]] > 1 else names[number] for number in range(len(names))
    )


def _clips(path: pathlib.Path, where: str, image_size: int) -> tuple[dict[str, Any], list[str]]:
    """Reads how frames become inputs: fields of the recipe's `data`, and remarks.

    There, a pixel `p` from 0 to 255 becomes `(p * rescale_factor - offset - mean) / std`, and here
    `(p / 255 - mean) / std`.
    """
    if not (path / PROCESSOR_FILE).exists():
        return {}, [f"there is no {PROCESSOR_FILE}: colours are normalised as the model's authors did"]
    try:
        processor = read_json(path / PROCESSOR_FILE)
        if not isinstance(processor, dict):
            raise ValueError("it holds no named fields")
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: {PROCESSOR_FILE} cannot be read: {error}. Copy or download it again.") from error
    try:
        factor = real_number(processor, "rescale_factor", 1 / _PIXELS) if processor.get("do_rescale", True) else 1.0
        mean, std = (_colours(processor, name) for name in ("image_mean", "image_std"))
    except UserError as error:
        raise UserError(f"{where}: of {PROCESSOR_FILE}, {error}") from error
    if factor <= 0:
        raise UserError(f"{where}: of {PROCESSOR_FILE}, its rescale_factor is {factor}, but must be above 0.")
    if not processor.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    offset = 1.0 if processor.get("offset", False) else 0.0
    scale = _PIXELS * factor
    if math.isclose(scale, 1, rel_tol=1e-6):  # a decimal fraction of 1/255
        scale = 1.0
    stated = {
        "channel_order": "rgb",
        "mean": tuple((value + offset) / scale for value in mean),
        "std": tuple(value / scale for value in std),
    }
    return stated, _size_notes(processor, image_size)


def _colours(processor: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = processor.get(name)
    if isinstance(values, int | float) and not isinstance(values, bool):
        values = [values] * 3
    numbers = {str(place): value for place, value in enumerate(values)} if isinstance(values, list) else {}
    if len(numbers) != 3:
        raise UserError(f"its {name} is {values!r}, but must be three numbers, of red, green and blue.")
    return tuple(real_number(numbers, place, 0.0) for place in numbers)


def _size_notes(processor: Mapping[str, Any], image_size: int) -> list[str]:
    size, crop = processor.get("size"), processor.get("crop_size")
    side = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
    cropped = crop.get("height") if isinstance(crop, dict) else crop
    if side in (None, image_size) and cropped in (None, image_size):
        return []
    return [
        f"transformers resizes frames to {side} and crops {cropped} pixels of them; here they are resized to "
        f"{image_size}, the size of the model, and cropped to a square"
    ]


def _nearest_model(model_class: type[VideoModel], options: Mapping[str, Any]) -> str:
    """Finds the named model of a class that has most of some options."""
    named = {name: create_model(name) for name in list_models()}
    own = {
        name: model
        for name, model in named.items()
        if type(model) is model_class and not isinstance(model, MotionPrompted)
    }
    return max(own, key=lambda name: sum(getattr(own[name], option) == value for option, value in options.items()))
