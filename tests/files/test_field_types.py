"""Dataclasses made of JSON: every field is what its annotation says, or named."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from motion_vit.files.field_types import check_field_types


@dataclasses.dataclass
class Inner:
    count: int


@dataclasses.dataclass
class Record:
    name: str = "a"
    size: float = 1.0
    found: bool = True
    kind: Literal["x", "y"] = "x"
    limit: float | None = None
    words: tuple[str, ...] = ("a",)
    notes: Sequence[str] = ("b",)
    counts: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"a": 1})
    inner: tuple[Inner, ...] = (Inner(1),)


@pytest.mark.parametrize("changes", [{}, {"size": 1}, {"limit": 0.5}, {"notes": ["a"]}, {"words": ()}, {"counts": {}}])
def test_what_the_annotations_say_is_taken(changes: dict[str, Any]) -> None:
    check_field_types(Record(**changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in (1, None, b"a", ["a"])),
        *(("size", value) for value in ("1", None, True, math.nan, math.inf, -math.inf, [])),
        *(("found", value) for value in (1, "yes", None)),
        *(("kind", value) for value in ("z", 1, None, [], {})),
        *(("limit", value) for value in ("1", False, math.nan)),
        *(("words", value) for value in ("ab", (1,), (None,), [["a"]], {"a": 1})),
        *(("notes", value) for value in ("ab", [1], 3)),
        *(("counts", value) for value in ({1: 1}, {"a": "1"}, {"a": True}, [("a", 1)], None)),
    ],
)
def test_another_type_is_told_with_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"its field {field} is not of the type "):
        check_field_types(Record(**{field: value}))


def test_a_field_of_a_record_within_is_told() -> None:
    with pytest.raises(ValueError, match="its field count is not of the type int"):
        check_field_types(Record(inner=(Inner("1"),)))
