"""The zoo: the table of published weights in `models.toml`, read and checked."""

import dataclasses
import functools
import importlib.resources
import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.field_types import check_field_types
from motion_vit.zoo.label_names import label_files

WeightsFormat = Literal["torch", "flax", "huggingface"]
"""A file of `torch.save`, one of `flax.serialization`, or a folder as the library transformers writes it."""

_PACKAGE = "motion_vit.zoo"
_TABLE = "models.toml"
_DATASETS = "datasets.toml"

_NAME = re.compile(r"[a-z0-9_]+")
_DIGITS = re.compile(r"[0-9a-f]{8,64}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PREPROCESSING = ("channel_order", "mean", "std", "sampling", "stride", "fps")
_PER_CENT = 100


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The classes that a dataset tells apart.

    Attributes:
      title: what people call it.
      classes: how many there are.
      labels: the list of their names, where that is the list of another dataset.
    """

    title: str
    classes: int
    labels: str = ""


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """A row of the zoo: weights that somebody has published, and what one must know to use them.

    Attributes:
      id: the name that `motion_vit.load` takes.
      format: what the weights are stored as.
      model: one of `motion_vit.list_models()`.
      data: the dataset whose classes they tell apart, one of `datasets()`.
      preprocessing: how they take clips: `channel_order`, `mean`, `std`, `sampling` and, where that is dense, `stride`
        and perhaps `fps`, as in the recipe's `data`.
      licence: of the weights.
      commercial: whether it lets them be used commercially.
      source: where these facts were read.
      options: of the model, without `num_classes`.
      repository: on the Hugging Face hub; "" for a file that lies elsewhere.
      url: address of the file that lies elsewhere.
      revision: of the repository: a branch, a tag or a commit.
      file: in the repository; "" for a folder of the format "huggingface".
      megabytes: of the weights, about; None where it is not known.
      sha256: of the file, whole or its first digits; "" where it is not known.
      top1: published accuracy in per cent; None where none is known.
      clips: of each video, for that accuracy.
      crops: of each clip, likewise.
      labels: the list of names of the classes, one of `motion_vit.zoo.label_names.label_files()`, where the authors
        numbered the classes in another order than others; "" for that of the data.
      unverified: what of all this was not verified, each a clause.
    """

    id: str
    format: WeightsFormat
    model: str
    data: str
    preprocessing: Mapping[str, object]
    licence: str
    commercial: bool
    source: str
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    repository: str = ""
    url: str = ""
    revision: str = "main"
    file: str = ""
    megabytes: float | None = None
    sha256: str = ""
    top1: float | None = None
    clips: int = 1
    crops: int = 1
    labels: str = ""
    unverified: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The name of the file of weights, without folders; "" for a folder."""
        return (self.file or self.url).rpartition("/")[2]

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of `motion_vit.create_model`, with the classes of the data."""
        return {**self.options, "num_classes": datasets()[self.data].classes}

    @property
    def label_list(self) -> str:
        """The list of the names of the classes; "" for a folder, which has its own."""
        return "" if self.format == "huggingface" else self.labels or datasets()[self.data].labels or self.data

    def to_dict(self) -> dict[str, Any]:
        """Returns the row for JSON; what it has not, such as the revision of a file at an address, is None."""
        elsewhere = {"repository": None, "revision": None} if self.url else {}
        fields = dataclasses.asdict(self) | {"labels": self.label_list}
        return {name: None if value == "" else value for name, value in fields.items()} | elsewhere


@functools.cache
def datasets() -> Mapping[str, Dataset]:
    """Reads the datasets of the zoo.

    Returns:
      Name -> dataset.
    """
    return {name: Dataset(**fields) for name, fields in _read(_DATASETS).items()}


@functools.cache
def published_weights() -> Mapping[str, PublishedWeights]:
    """Reads the zoo.

    Returns:
      Name -> row, in the order of the table.

    Raises:
      ValueError: a row is not as the table says that rows are.
    """
    found: dict[str, PublishedWeights] = {}
    for row in rows_of(_read(_TABLE)):
        if row.id in found:
            raise ValueError(f"{_TABLE} has two rows {row.id!r}")
        found[row.id] = row
    return found


def find_weights(name: str) -> PublishedWeights:
    """Finds a row of the zoo.

    Args:
      name: its id.

    Returns:
      The row.

    Raises:
      UserError: there is none; the message has the names that it is a part of, or the nearest.
    """
    known = published_weights()
    if name not in known:
        alike = [row.id for row in known.values() if name.casefold() in f"{row.id} hf:{row.repository}".casefold()]
        advice = f" Of that kind are {', '.join(alike)}." if alike else did_you_mean(name, known)
        raise UserError(f"the zoo has no weights {name!r}.{advice} `motion-vit models` lists them.")
    return known[name]


def named_labels(name: str) -> pathlib.Path:
    """Finds the names of the classes of a dataset.

    Args:
      name: of a list of `motion_vit.zoo.label_names.label_files()`, or of a dataset of the zoo.

    Returns:
      A file with a name on each line, in the order of the logits.

    Raises:
      UserError: there is no such list; the message names them.
    """
    files = label_files()
    aliases = {dataset: files[row.labels] for dataset, row in datasets().items() if row.labels}
    known = files | aliases
    if name not in known:
        raise UserError(
            f"there is no label file {name!r}, nor a list of that name.{did_you_mean(name, known)} The lists of names "
            f"of classes are {', '.join(sorted(known))}."
        )
    return known[name]


def rows_of(table: Mapping[str, Any]) -> Iterator[PublishedWeights]:
    """Makes the rows of a table as `models.toml` holds it.

    Args:
      table: the content of the file.

    Yields:
      The rows, with what their groups share.

    Raises:
      ValueError: a row lacks a field, has an unknown one, or one that is not as `PublishedWeights` says.
    """
    for group in table["group"]:
        shared = {name: value for name, value in group.items() if name != "row"}
        for row in group["row"]:
            merged = {**shared, **row}
            for name in ("options", "preprocessing"):
                merged[name] = {**shared.get(name, {}), **row.get(name, {})}
            try:
                yield _row(merged)
            except (TypeError, ValueError) as error:
                raise ValueError(f"the row {row.get('id')!r} of the zoo is not as it should be: {error}") from error


def _row(fields: Mapping[str, Any]) -> PublishedWeights:
    row = PublishedWeights(**_as_tuples(fields))
    check_field_types(row)
    if problem := _problem(row):
        raise ValueError(problem)
    return row


def _as_tuples(value: Any) -> Any:
    """Makes tuples of lists, which options of models are."""
    if isinstance(value, Mapping):
        return {name: _as_tuples(item) for name, item in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _problem(row: PublishedWeights) -> str:
    """Says what is wrong with a row beyond the types of its fields; "" for nothing."""
    missing = [name for name in ("channel_order", "mean", "std", "sampling") if name not in row.preprocessing]
    unknown = [name for name in row.preprocessing if name not in _PREPROCESSING]
    problems = {
        "its id is no name of small letters, digits and underscores": not _NAME.fullmatch(row.id),
        "it must have either a repository or a url": bool(row.repository) == bool(row.url),
        "its repository is not owner/name": row.repository and not _REPOSITORY.fullmatch(row.repository),
        "its url does not begin with https://": row.url and not row.url.startswith("https://"),
        "its file must be named, unless its format is huggingface": (
            bool(row.file) == (row.format == "huggingface") if row.repository else bool(row.file)
        ),
        f"its data are none of {', '.join(datasets())}": row.data not in datasets(),
        f"its labels are none of {', '.join(label_files())}": row.labels and row.labels not in label_files(),
        "num_classes is among its options, which its data tell": "num_classes" in row.options,
        f"its preprocessing has no {', '.join(missing)}": missing,
        f"its preprocessing has {', '.join(unknown)}, which no clips have": unknown,
        "dense sampling has a stride, and no other has": (
            (row.preprocessing.get("sampling") == "dense") != ("stride" in row.preprocessing)
        ),
        "its sha256 is not 8 to 64 hexadecimal digits": row.sha256 and not _DIGITS.fullmatch(row.sha256),
        "its accuracy is no share in per cent": row.top1 is not None and not 0 < row.top1 <= _PER_CENT,
        "its megabytes are not above 0": row.megabytes is not None and row.megabytes <= 0,
        "its clips and crops are not 1 or more": min(row.clips, row.crops) < 1,
        "it names no licence and source": not (row.licence and row.source and row.revision),
    }
    return next((problem for problem, is_there in problems.items() if is_there), "")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(importlib.resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8"))
