"""Finds what `tfds:NAME:SPLIT` names: the folder that tensorflow_datasets has prepared, the split and the features."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.json_file import read_json
from motion_vit.files.local_path import local_path

PREFIX = "tfds:"
"""How the name of a set of tensorflow_datasets begins, where a recipe or a command names data."""

INFO_FILE = "dataset_info.json"
"""The file by which tensorflow_datasets knows a prepared folder."""

_DATA_DIR_VARIABLE = "TFDS_DATA_DIR"
_DATA_DIR = "~/tensorflow_datasets"
_DEFAULT_CONFIG_FILE = ".config/metadata.json"

# A slice may have a colon inside its brackets; the version of a set begins with a digit, and no split does.
_SPLIT = r"[^\W\d][\w-]*(?:\[[^\]]*\])?"
_LOCATION = re.compile(
    rf"(?P<what>.*?)(?::(?P<split>{_SPLIT}(?:\s*\+\s*{_SPLIT})*))?(?:\?(?P<options>\w+=[^?]*))?", re.DOTALL
)
_NAME = re.compile(r"(?P<name>[^\W\d]\w*)(?:/(?P<config>[\w.+=-]+))?(?::(?P<version>(?:\d+|\*)(?:\.(?:\d+|\*)){2}))?")
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


@dataclasses.dataclass(frozen=True)
class TfdsLocation:
    """A split of a set, as it is named.

    Attributes:
      what: name of the set, with a config and a version where given, or a folder.
      split: name of the split, or a slice of it in the words of tensorflow_datasets; "" where none is given.
      video: name of the feature that holds the video; "" for the only one.
      label: name of the feature that holds the class; "" for the only one.
    """

    what: str
    split: str = ""
    video: str = ""
    label: str = ""


def is_tfds(location: str | os.PathLike[str]) -> bool:
    """Tells if a location names a set of tensorflow_datasets."""
    return os.fspath(location).startswith(PREFIX)


def parse_tfds(location: str) -> TfdsLocation:
    """Reads a location.

    Args:
      location: `tfds:NAME[/CONFIG][:VERSION][:SPLIT][?video=FEATURE&label=FEATURE]`, or a folder in place of the name.

    Returns:
      Its parts.

    Raises:
      UserError: nothing is named, or there is no such option.
    """
    text = location.removeprefix(PREFIX)
    found = None if os.path.lexists(text) else _LOCATION.fullmatch(text)
    parts = TfdsLocation(text) if found is None else TfdsLocation(found["what"], found["split"] or "")
    if not parts.what:
        raise UserError(
            f"{location!r} names no set of tensorflow_datasets; expected {PREFIX}NAME:SPLIT or {PREFIX}FOLDER:SPLIT."
        )
    for option, value in parse_qsl((found and found["options"]) or "", keep_blank_values=True):
        if option not in ("video", "label"):
            raise UserError(
                f"{location!r} has the option {option!r}.{did_you_mean(option, ('video', 'label'))} The options are "
                "video and label, each the name of a feature, as in ?video=clip&label=verb."
            )
        parts = dataclasses.replace(parts, **{option: value})
    return parts


def find_tfds_folder(what: str) -> pathlib.Path:
    """Finds the prepared folder of a set; nothing is downloaded.

    Args:
      what: name of the set, with a config and a version where given, or a folder: that of a version, of a config or
        of the whole set. Sets are looked for in `TFDS_DATA_DIR`, or in `~/tensorflow_datasets` without that variable.

    Returns:
      The folder of the version, the latest where none is given.

    Raises:
      UserError: the set is not prepared, or has several configs of which none is given.
    """
    data_dir = pathlib.Path(os.environ.get(_DATA_DIR_VARIABLE) or _DATA_DIR).expanduser()
    named = _NAME.fullmatch(what)
    if named is not None:
        root = data_dir / named["name"]
        found = _version_folder(root / named["config"] if named["config"] else root, named["version"] or "", what)
        if found is not None:
            return found
    folder = local_path(what).expanduser()
    if folder.is_dir():
        found = _version_folder(folder, "", what)
        if found is not None:
            return found
    if named is not None:
        raise UserError(
            f"the set {what} of tensorflow_datasets is not prepared in {data_dir}, and nothing is downloaded "
            f"unasked. {how_to_prepare(what)} Where it lies elsewhere, set {_DATA_DIR_VARIABLE} or give "
            f"{PREFIX}FOLDER:SPLIT."
        )
    raise UserError(
        f"{what} holds no set that tensorflow_datasets has prepared: it has no {INFO_FILE}, nor have the folders of "
        "versions in it. Give the folder of a version, such as ucf101/ucf101_1/2.0.0, or the name of a set."
    )


def how_to_prepare(what: str) -> str:
    """Says how a set is prepared so that it can be read at random.

    Args:
      what: name of the set; another text may hold what a shell obeys, and is not repeated.

    Returns:
      A sentence.
    """
    name = what if _NAME.fullmatch(what) else "NAME"
    command = (
        f"import tensorflow_datasets as tfds; tfds.builder('{name}', file_format='array_record').download_and_prepare()"
    )
    return f'Prepare it once, where TensorFlow is installed: python -c "{command}"'


def _version_folder(folder: pathlib.Path, version: str, what: str) -> pathlib.Path | None:
    """Finds the latest version in the folder of a version, of a config or of a set; None where there is none."""
    if (folder / INFO_FILE).is_file():
        return folder
    found = _latest(folder, version)
    if found is not None:
        return found
    configs = {config.name: latest for config in _folders(folder) if (latest := _latest(config, version)) is not None}
    default = next(iter(configs)) if len(configs) == 1 else _default_config(folder)
    if configs and default not in configs:
        raise UserError(
            f"{what} has several configs ({', '.join(sorted(configs))}); give one of them, as in "
            f"{PREFIX}{folder.name}/{min(configs)}:SPLIT."
        )
    return configs.get(default)


def _latest(folder: pathlib.Path, wanted: str) -> pathlib.Path | None:
    pattern = _VERSION if not wanted else re.compile(re.escape(wanted).replace(r"\*", r"\d+"))
    versions = [
        entry
        for entry in _folders(folder)
        if _VERSION.fullmatch(entry.name) and pattern.fullmatch(entry.name) and (entry / INFO_FILE).is_file()
    ]
    return max(versions, key=lambda entry: tuple(map(int, entry.name.split("."))), default=None)


def _folders(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    try:
        yield from (entry for entry in sorted(folder.iterdir()) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}; check its permissions.") from error


def _default_config(folder: pathlib.Path) -> str:
    """Reads the config that tensorflow_datasets takes where none is given; "" where the folder does not say it."""
    try:
        values = read_json(folder / _DEFAULT_CONFIG_FILE)
    except (OSError, ValueError):
        return ""
    name = values.get("default_config_name") if isinstance(values, dict) else None
    return name if isinstance(name, str) else ""
