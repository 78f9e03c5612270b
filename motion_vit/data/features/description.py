"""The description of a folder of features: what they were computed from, and how they lie in it."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from motion_vit.errors import UserError
from motion_vit.files.field_types import check_field_types
from motion_vit.files.json_file import read_json

FEATURES_FILE = "features.json"
"""The file of the description."""

FORMAT_VERSION = 1
"""Goes up when older versions of the library cannot read what is written any more."""

FeatureDtype: TypeAlias = Literal["bfloat16", "float16", "float32"]
"""What tokens are stored in."""

BYTES_OF_A_NUMBER: Mapping[FeatureDtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4}

# What may differ between two folders whose features are the same.
_OF_THE_FOLDER = ("data", "finished", "undecodable", "videos_per_file", "format_version")
_MAKES_IT = "`motion-vit features DATA --checkpoint DIR --out FOLDER` makes such a folder"


@dataclasses.dataclass(frozen=True)
class UndecodableVideo:
    """A video that has no features.

    Attributes:
      row: its number in the data.
      video: its name.
      reason: what is wrong with it.
    """

    row: int
    video: str
    reason: str


@dataclasses.dataclass(frozen=True)
class FeaturesDescription:
    """Describes what features are of, and how they are stored.

    Attributes:
      encoder: name of the model, and those of its options that decide what its encoder of frames computes.
      encoder_weights: SHA-256 of the encoder's variables.
      inputs: fields of a recipe that decide the clips that the encoder is given, by their dotted names.
      clips: clips of each video.
      crops: crops of each clip.
      dtype: that of the tokens.
      shape: frames, tokens of a frame and channels of a token, of each view.
      label_names: names of the classes.
      data: name of the videos in messages.
      data_fingerprint: SHA-256 of the clips and labels, see `ClipSource.fingerprint`.
      videos: number of videos.
      videos_per_file: of each file but the last one.
      finished: whether all of them are there.
      undecodable: the videos that could not be decoded; known when all are there.
      format_version: the version of the format, see `FORMAT_VERSION`.
    """

    encoder: Mapping[str, object]
    encoder_weights: str
    inputs: Mapping[str, object]
    clips: int
    crops: int
    dtype: FeatureDtype
    shape: tuple[int, int, int]
    label_names: tuple[str, ...]
    data: str
    data_fingerprint: str
    videos: int
    videos_per_file: int
    finished: bool = False
    undecodable: tuple[UndecodableVideo, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def views(self) -> int:
        """Views of each video, of which the crop changes fastest."""
        return self.clips * self.crops

    @property
    def bytes_per_video(self) -> int:
        """Bytes of the tokens of a video."""
        frames, tokens, width = self.shape
        return self.views * frames * tokens * width * BYTES_OF_A_NUMBER[self.dtype]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that hold the tokens, in the order of the videos."""
        count = -(-self.videos // self.videos_per_file)
        return tuple(f"features-{number:05}.safetensors" for number in range(count))

    def rows_of(self, file: int) -> range:
        """Numbers the videos of a file."""
        start = file * self.videos_per_file
        return range(start, min(start + self.videos_per_file, self.videos))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the features: equal for the same features in another folder."""
        decisive = {name: value for name, value in _plain(self).items() if name not in _OF_THE_FOLDER}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def differences(self, other: "FeaturesDescription") -> list[str]:
        """Finds what decides the features and differs.

        Args:
          other: of features that lie in another folder.

        Returns:
          A clause for each difference: what it is, there and here.
        """
        there, here = _flat(_plain(other)), _flat(_plain(self))
        return [
            f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name) and name.partition("/")[0] not in _OF_THE_FOLDER
        ]

    def to_json(self) -> str:
        """Returns the text of the file."""
        return json.dumps(_plain(self), indent=1, ensure_ascii=False) + "\n"


def read_description(folder: pathlib.Path) -> FeaturesDescription:
    """Reads the description of a folder of features.

    Args:
      folder: where they lie.

    Returns:
      The description, also of features that are not finished.

    Raises:
      UserError: there is no such folder, it holds no features, or those of a later version, or the file is damaged.
    """
    file = folder / FEATURES_FILE
    try:
        values = read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        what = f"has no {FEATURES_FILE}" if folder.is_dir() else "does not exist"
        raise UserError(f"there are no features in {folder}: it {what}. {_MAKES_IT}.") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}). Remove the folder, and make the features again.") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{folder} has the format version {version} of features, and this motion_vit reads up to "
            f"{FORMAT_VERSION}. Install the version that made them, or make them again with this one."
        )
    try:
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        undecodable = tuple(UndecodableVideo(**video) for video in values["undecodable"])
        description = FeaturesDescription(**{**values, **lists, "undecodable": undecodable})
        check_field_types(description)
        _check_sizes(description)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is no description of features, or is damaged ({type(error).__name__}: {error}). Remove the "
            "folder, and make the features again."
        ) from error
    return description


def _check_sizes(description: FeaturesDescription) -> None:
    sizes = (*description.shape, *(getattr(description, name) for name in ("clips", "crops", "videos_per_file")))
    if len(description.shape) != 3 or min(sizes) < 1 or description.videos < 1:
        raise ValueError("a size is below 1")
    if any(not 0 <= video.row < description.videos for video in description.undecodable):
        raise ValueError("a video that could not be decoded is none of them")


def _plain(description: FeaturesDescription) -> dict[str, Any]:
    """Writes a description as JSON reads it again."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(description)))
    return plain


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Joins the names of nested mappings by "/"."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
