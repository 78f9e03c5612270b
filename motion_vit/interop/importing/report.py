"""The report of an import, with the fate of every weight, as text and as JSON."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from motion_vit.errors import UserError
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.interop.importing.resizing import TABLES_OF_DISTANCES

_MOST_LINES = 20


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """The fate of every weight, under the source's names and with its shapes.

    Attributes:
      source: origin of the weights.
      loaded: weights that were imported.
      missing: weights of the model that the source lacks, with the model's shape. They keep their initial values, if
        the import goes on.
      unexpected: weights of the source that the model lacks, with their shape. They are unused.
      misshapen: weights of both whose shapes differ: the shape in the source and that in the model. They keep their
        initial values, too.
      ignored: entries that carry no weight and are skipped: BatchNorm's step counters.
      reshaped: loaded weights whose axes are in another order here, with the change.
      inflated: loaded weights that gained a time axis: the shape in the source and that in the model.
      resized: loaded embeddings of other places or times: the shape in the source and that in the model.
      copied: weights of the model that start anew by request as a copy of another one: the name of that one.
      anew: weights of the model that start anew by request at initial values, with the model's shape.
      replaced: weights of the source that are unused because their parts start anew, with their shape.
      outside: weights of the source that are no part of the network, such as the decoder of a pretraining, with their
        shape. They are unused.
      prefix: prefix of all names in the source, which is removed here.
      state: entry of the source that they are from; "" where they lie at the top.
      other_states: other entries of the source that hold weights, and are unused.
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
    outside: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    prefix: str = ""
    state: str = ""
    other_states: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if everything was imported, except for parts that start anew by request."""
        return not (self.missing or self.unexpected or self.misshapen)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report for JSON."""
        return {"complete": self.complete, **dataclasses.asdict(self)}

    def __str__(self) -> str:
        """Formats the report: a summary, changes to weights, and misfits."""
        changes = [
            f"  {count} of the loaded ones reshaped from {description}"
            for description, count in collections.Counter(self.reshaped.values()).items()
        ]
        changes += _section("inflated over time", _pairs(self.inflated))
        tables = {name: pair for name, pair in self.resized.items() if name.endswith(TABLES_OF_DISTANCES)}
        embeddings = {name: pair for name, pair in self.resized.items() if name not in tables}
        changes += _section("resized to the nearest entries", _pairs(embeddings))
        changes += _section("resized linearly", _pairs(tables))
        copies = {name: f"from {original}" for name, original in self.copied.items()}
        changes += _section("started anew, as asked (copies)", copies)
        changes += _section("started anew, as asked (initial values)", self.anew)
        changes += _section("unused, because the model's start anew", self.replaced)
        changes += _section("unused, because they are no part of the network", self.outside)
        return "\n".join([self._summary("loaded"), *changes, *self._misfits()])

    def problems(self) -> str:
        """Formats the summary and the misfits of an import that was refused."""
        return "\n".join([self._summary("fit"), *self._misfits()])

    def _summary(self, taken: str) -> str:
        prefix = f"\n  all names begin with {self.prefix} in the source, which is left out here" if self.prefix else ""
        others = ""
        if self.other_states:
            first, taken_from = self.other_states[0], self.state or "weights at the top"
            others = (
                f"\n  these are its {taken_from}; it also holds {', '.join(self.other_states)}, which --state {first}, "
                f"in Python state={first!r}, takes"
            )
        return (
            f"weights of {self.source}: {len(self.loaded)} {taken}, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.misshapen)} misshapen, {len(self.ignored)} step counters "
            f"ignored{prefix}{others}"
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
    """Error of weights that do not fit a model.

    Attributes:
      report: fate of every weight.
    """

    def __init__(self, message: str, report: ImportReport) -> None:
        super().__init__(message)
        self.report = report
