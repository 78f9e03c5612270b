"""Chooses the video and the class among the features of a set of tensorflow_datasets, without TensorFlow.

The classes of tensorflow_datasets that stand for features, such as `tfds.features.Video`, import TensorFlow. So this
module reads their description, `features.json`, for itself.
"""

import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.json_file import read_json
from motion_vit.files.regular_file import read_regular_text

_FEATURES_FILE = "features.json"
_METADATA_FILE = "metadata.json"
_RATE_NAMES = ("fps", "frame_rate", "frames_per_second")
_MOST_FPS = 1000.0
# What FFmpeg makes of a video before its frames are stored: `-r 25`, or the filter `fps=25`.
_RATE_FILTER = re.compile(r"(?:.*[,=])?fps=(?:fps=)?([0-9./]+).*")

_Kind = Literal["video", "pictures", "bytes", "class", "other"]


@dataclasses.dataclass(frozen=True)
class TfdsFeatures:
    """The features of a set that a clip is made of.

    Attributes:
      video: name in the records of the feature that holds the video.
      holds_file: True where it is the bytes of a video file, False where it is one picture a frame.
      label: name in the records of the feature that holds the class.
      label_names: the names of the classes.
      fps: frames per second, 0.0 if the set does not say.
    """

    video: str
    holds_file: bool
    label: str
    label_names: tuple[str, ...]
    fps: float


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A feature that has no others in it: its name in the records, that of its files, and its description."""

    name: str
    file_name: str
    kind: _Kind
    feature: Any


def read_tfds_features(folder: pathlib.Path, *, video: str = "", label: str = "") -> TfdsFeatures:
    """Reads the features of a set and chooses two of them.

    Args:
      folder: the prepared folder.
      video: name of the feature that holds the video; "" for the only one of the kind `Video`, or else the only
        sequence of pictures.
      label: name of the feature that holds the class; "" for the only one of the kind `ClassLabel`.

    Returns:
      The chosen features.

    Raises:
      UserError: the description cannot be read; there are none or several such features and none is named, or the
        named one is of another kind; or the names of the classes are damaged.
    """
    leaves = list(_leaves(_read_description(folder), "", "", 0))
    kinds: Sequence[_Kind] = ("video",) if any(leaf.kind == "video" for leaf in leaves) else ("pictures",)
    chosen = _choose(folder, leaves, "video", video, kinds, ("video", "pictures", "bytes"))
    labelled = _choose(folder, leaves, "label", label, ("class",), ("class",))
    described = chosen.feature
    if chosen.kind == "pictures":
        described = described.image
    elif chosen.kind == "video":
        described = described.video
    if chosen.kind != "bytes" and described.dtype not in ("", "uint8"):
        raise UserError(
            f"the feature {chosen.name} of {folder} has pictures of {described.dtype}, and videos must be of uint8; "
            "store it as 8-bit pictures."
        )
    return TfdsFeatures(
        video=chosen.name,
        holds_file=chosen.kind == "bytes",
        label=labelled.name,
        label_names=_label_names(folder, labelled),
        fps=_frame_rate(folder, chosen),
    )


def _read_description(folder: pathlib.Path) -> Any:
    from google.protobuf import json_format
    from tensorflow_datasets.core.proto import feature_pb2

    file = folder / _FEATURES_FILE
    try:
        text = read_regular_text(file)
    except OSError as error:
        raise UserError(f"{file}, which describes the set, cannot be read: {error.strerror}; copy it again.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is damaged: {error}. Copy it again.") from error
    try:
        return json_format.Parse(text, feature_pb2.Feature())
    except (json_format.ParseError, RecursionError) as error:
        raise UserError(
            f"{file} does not describe features as tensorflow_datasets has done since version 4.4 ({error}); prepare "
            "the set again with a newer version, or copy the file again if it is damaged."
        ) from error


def _leaves(feature: Any, name: str, file_name: str, lists: int) -> Iterator[_Leaf]:
    """Yields the features inside a feature, under the names that the records give them."""
    content = feature.WhichOneof("content")
    if content == "features_dict":
        for key, inner in sorted(feature.features_dict.features.items()):
            key_file = key.replace("/", ".")
            yield from _leaves(
                inner, f"{name}/{key}" if name else key, f"{file_name}-{key_file}" if file_name else key_file, lists
            )
    elif content == "sequence":
        yield from _leaves(feature.sequence.feature, name, file_name, lists + 1)
    else:
        yield _Leaf(name, file_name, _kind(feature, content, lists), feature)


def _kind(feature: Any, content: str, lists: int) -> _Kind:
    if content == "video" and lists == 0:
        return "video"
    if content == "image" and lists == 1:
        return "pictures"
    if content == "class_label" and lists == 0:
        return "class"
    if content == "tensor" and lists == 0:
        is_bytes = feature.tensor.dtype in ("string", "object") and not feature.tensor.shape.dimensions
        return "bytes" if is_bytes else "other"
    return "other"


def _choose(
    folder: pathlib.Path,
    leaves: Sequence[_Leaf],
    option: str,
    name: str,
    unasked: Sequence[_Kind],
    asked: Sequence[_Kind],
) -> _Leaf:
    """Chooses the named feature, or the only one of the kinds that need no naming."""
    what = {
        "video": "a video (Video, a Sequence of Image, or the bytes of a video file)",
        "label": "a class (ClassLabel)",
    }[option]
    possible = [leaf.name for leaf in leaves if leaf.kind in asked]
    if name:
        for leaf in leaves:
            if leaf.name == name and leaf.kind in asked:
                return leaf
        every = [leaf.name for leaf in leaves]
        problem = "is none that holds" if name in every else "does not exist; expected one that holds"
        raise UserError(
            f"the feature {name!r} of {folder} {problem} {what}.{did_you_mean(name, possible)} Such features are: "
            f"{', '.join(possible) or 'none'}."
        )
    found = [leaf for leaf in leaves if leaf.kind in unasked]
    if len(found) == 1:
        return found[0]
    if not possible:
        raise UserError(
            f"{folder} has no feature that holds {what}; its features are "
            f"{', '.join(leaf.name for leaf in leaves) or 'none'}. Give a set that has videos and classes."
        )
    suggested = found[0].name if found else possible[0]
    raise UserError(
        f"{folder} has {'several features' if found else 'no single feature'} that {'hold' if found else 'holds'} "
        f"{what}: {', '.join(possible)}. Name one at the end of the location, as in ?{option}={suggested}."
    )


def _label_names(folder: pathlib.Path, label: _Leaf) -> tuple[str, ...]:
    """Reads the names of the classes as tensorflow_datasets does: one a line, or numbers where they have no names."""
    classes = label.feature.class_label.num_classes
    file = folder / f"{label.file_name}.labels.txt"
    try:
        # Not `splitlines`, which also splits at characters that may be a part of a name.
        names = tuple(name.strip() for name in read_regular_text(file).split("\n") if name.strip())
    except FileNotFoundError:
        names = tuple(map(str, range(classes)))
    except OSError as error:
        raise UserError(f"{file}, which names the classes, cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is damaged: {error}. Copy it again.") from error
    if len(names) != classes or len(set(names)) != len(names) or not names:
        raise UserError(
            f"{file} gives {len(set(names))} different names and the feature {label.name} has {classes} classes; "
            "expected one name a line for each class. Copy the file again, or correct it."
        )
    return names


def _frame_rate(folder: pathlib.Path, video: _Leaf) -> float:
    """Returns the rate at which FFmpeg was told to store frames, or else that of the set's metadata; 0.0 if unknown."""
    rate = _ffmpeg_rate(list(video.feature.video.ffmpeg_extra_args)) if video.kind == "video" else 0.0
    if rate or video.kind == "bytes":
        return rate
    try:
        metadata = read_json(folder / _METADATA_FILE)
    except (OSError, ValueError):
        return 0.0  # sets need not have metadata, and what is in it is free
    values = metadata if isinstance(metadata, Mapping) else {}
    return next((rate for name in _RATE_NAMES if (rate := _as_rate(values.get(name)))), 0.0)


def _ffmpeg_rate(arguments: Sequence[str]) -> float:
    rate = 0.0
    for option, value in itertools.pairwise(arguments):
        if option.partition(":")[0] == "-r":
            rate = _as_rate(value)
        elif option.partition(":")[0] in ("-vf", "-filter") and (found := _RATE_FILTER.fullmatch(value)):
            rate = _as_rate(found[1])
    return rate


def _as_rate(value: object) -> float:
    """Reads a number of frames per second, also one such as "30000/1001"; 0.0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        above, _, below = str(value).partition("/")
        rate = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return 0.0
    return rate if math.isfinite(rate) and 0 < rate <= _MOST_FPS else 0.0
