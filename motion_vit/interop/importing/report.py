"""What became of every weight of an import, as text and as JSON."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from motion_vit.errors import UserError
from motion_vit.interop.files.stored_tensor import Shape

_MOST_LINES = 20


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What became of every weight, under the source's names and with its shapes.

    Attributes:
      source: where the weights come from.
      loaded: weights that were taken over.
      missing: weights of the model that the source lacks, with the shape the model has. They are left at their initial
        values, if the import goes on.
      unexpected: weights of the source that the model lacks, with the shape they have. They are unused.
      misshapen: weights of both whose shapes differ: the shape in the source and that in the model. They are left at
        their initial values, too.
      ignored: entries that carry no weight, knowingly left out: BatchNorm's step counters.
      reshaped: of the loaded ones, those whose axes lie in another order here, and how.
      inflated: of the loaded ones, those that gained a time axis: the shape in the source and that in the model.
      resized: of the loaded ones, embeddings of other places or times: the shape in the source and that in the model.
      copied: weights of the model that start anew by request as a copy of another one: the name of that.
      anew: weights of the model that start anew by request at initial values, with the shape the model has.
      replaced: weights of the source that are unused because those start anew, with the shape they have.
      prefix: what all names in the source begin with, which is left out here.
    """

    source: str
    loaded: tuple[str, ...]
    missing: Mapping[str, Shape]
    unexpected: Mapping[str, Shape]
    misshapen: Mapping[str, tuple[Shape, Shape]]
    ignored: tuple[str, ...]
    reshaped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inflated: Mapping[str, tuple[Shape, Shape]] = dataclasses.field(default_factory=dict)
    resized: Mapping[str, tuple[Shape, Shape]] = dataclasses.field(default_factory=dict)
    copied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    anew: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    replaced: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    prefix: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything was taken over, but for what starts anew by request."""
        return not (self.missing or self.unexpected or self.misshapen)

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"complete": self.complete, **dataclasses.asdict(self)}

    def __str__(self) -> str:
        """The report as lines: a summary, what happened to weights on their way, and what did not fit."""
        changes = [
            f"  {count} of the loaded ones reshaped from {description}"
            for description, count in collections.Counter(self.reshaped.values()).items()
        ]
        changes += _section("inflated over time", _pairs(self.inflated))
        changes += _section("resized to the nearest entries", _pairs(self.resized))
        copies = {name: f"from {original}" for name, original in self.copied.items()}
        changes += _section("started anew, as asked (copies)", copies)
        changes += _section("started anew, as asked (initial values)", self.anew)
        changes += _section("unused, because the model's start anew", self.replaced)
        return "\n".join([self._summary("loaded"), *changes, *self._misfits()])

    def problems(self) -> str:
        """The summary of an import that was refused, and what did not fit, as lines."""
        return "\n".join([self._summary("fit"), *self._misfits()])

    def _summary(self, taken: str) -> str:
        prefix = f"\n  all names begin with {self.prefix} in the source, which is left out here" if self.prefix else ""
        return (
            f"weights of {self.source}: {len(self.loaded)} {taken}, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.misshapen)} misshapen, {len(self.ignored)} step counters "
            f"ignored{prefix}"
        )

    def _misfits(self) -> list[str]:
        return [
            *_section("missing (the model has them, the source does not)", self.missing),
            *_section("unexpected (the source has them, the model does not)", self.unexpected),
            *_section("misshapen", _pairs(self.misshapen)),
        ]


def _pairs(entries: Mapping[str, tuple[Shape, Shape]]) -> dict[str, str]:
    return {name: f"{given} in the source, {expected} in the model" for name, (given, expected) in entries.items()}


def _section(title: str, entries: Mapping[str, Any]) -> list[str]:
    if not entries:
        return []
    lines = [f"  {name} {value}" for name, value in entries.items()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"  ... and {len(lines) - _MOST_LINES} more"]
    return [f"{title}:", *lines]


class CheckpointImportError(UserError):
    """Weights that do not fit a model.

    Attributes:
      report: what became of every weight.
    """

    def __init__(self, message: str, report: ImportReport) -> None:
        super().__init__(message)
        self.report = report
