"""The manifest of a prepared dataset: shards, clips that were left out, and fingerprints."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from motion_vit.data.sources.record import Storage
from motion_vit.errors import UserError
from motion_vit.files.field_types import check_field_types
from motion_vit.files.json_file import read_json

FORMAT_VERSION = 3
"""Goes up when older versions of the library cannot read what is prepared any more, or a clip gives other bytes."""

MANIFEST_FILE = "manifest.json"


@dataclasses.dataclass(frozen=True)
class BadClip:
    """A clip that was left out.

    Attributes:
      id: its name.
      path: its video file, or the folder of its frames.
      reason: what is wrong with it.
    """

    id: str
    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """A shard of a split.

    Attributes:
      name: its file name.
      clips: the number of its records.
      bytes: the size of the file.
    """

    name: str
    clips: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class SplitManifest:
    """The content of a prepared split.

    Attributes:
      clips: the number of clips.
      verified: whether every frame of every clip was decoded.
      frames: sum over all clips.
      seconds: duration of all clips; clips without a known rate count as 0.
      fingerprint: SHA-256 over the label names and every record: equal for the same clips however they are sharded.
      clips_of_class: label -> clips, in the order of the labels; 0 for an empty class.
      shards: the shards in order.
      bad: the clips that were left out, in the order of the source.
      rates: frames per second, rounded to a hundredth -> clips; without clips that do not say, such as JPEG frames.
    """

    clips: int
    verified: bool
    frames: int
    seconds: float
    fingerprint: str
    clips_of_class: Mapping[str, int]
    shards: tuple[ShardEntry, ...]
    bad: tuple[BadClip, ...]
    rates: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of a prepared dataset.

    Attributes:
      dataset: its name in `motion-vit prepare NAME`.
      codec: encoding of the clips, "copy" or "h264-fast".
      storage: kind of data in the records.
      complete: False where clips are bad and nobody has agreed to leave them out; such a folder is refused by readers.
      label_names: the names of the classes, in the order of the model's outputs.
      mismatches: differences from the official counts, and other doubts, as sentences.
      splits: split -> content.
      format_version: the version of the format, see `FORMAT_VERSION`.
    """

    dataset: str
    codec: str
    storage: Storage
    complete: bool
    label_names: tuple[str, ...]
    mismatches: tuple[str, ...]
    splits: Mapping[str, SplitManifest]
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Returns the text of the manifest file."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"


def _split_from_json(values: Mapping[str, Any]) -> SplitManifest:
    shards = tuple(ShardEntry(**shard) for shard in values["shards"])
    bad = tuple(BadClip(**clip) for clip in values["bad"])
    return SplitManifest(**{**values, "shards": shards, "bad": bad})


def read_manifest(folder: pathlib.Path) -> Manifest:
    """Reads the manifest of a prepared dataset.

    Args:
      folder: the prepared folder.

    Returns:
      The manifest, also of a dataset that is not complete.

    Raises:
      UserError: the folder does not exist or was not prepared, a newer version of this library prepared it, or the
        manifest is damaged.
    """
    file = folder / MANIFEST_FILE
    try:
        values = read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(_not_prepared_message(folder)) from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); the command that prepared the folder writes it anew") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{folder} has the format version {version} of prepared datasets, and this motion_vit reads up to "
            f"{FORMAT_VERSION}; install the version that prepared it, or prepare it again with this one"
        )
    try:
        splits = {split: _split_from_json(entry) for split, entry in values["splits"].items()}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        manifest = Manifest(**{**values, **lists, "splits": splits})
        check_field_types(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is not the manifest of a prepared dataset, or is damaged ({type(error).__name__}: {error}); "
            "the command that prepared the folder writes it anew"
        ) from error
    return manifest


def _not_prepared_message(folder: pathlib.Path) -> str:
    command = f"motion-vit prepare NAME --source DOWNLOAD --out {folder}"
    if not folder.is_dir():
        return f"the prepared dataset {folder} does not exist; `{command}` makes it"
    return (
        f"{folder} is not a prepared dataset: it has no {MANIFEST_FILE}. If it is a download, prepare it into another "
        f"folder; if its preparation was interrupted, run the same command again: `{command}`"
    )
