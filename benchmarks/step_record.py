"""The record of a step of a long run, a file of JSON: what it has found, item by item, and why the rest is missing.

A record has `step`, its name; `rehearsal`, whether shapes are tiny; `state`, one of the constants below; `reason`, why
it is not finished; `seconds` of all attempts; and `items`, by name. An item has `state`, `seconds`, and `result` or
`reason`. The file is replaced as a whole after each item, so that one whose process is killed holds all before.
"""

import json
import math
import os
import pathlib
from typing import Any

RUNNING, FINISHED, FAILED, STOPPED, LEFT_OUT = "running", "finished", "failed", "stopped", "left out"

Record = dict[str, Any]


def record_file(folder: pathlib.Path, step: str) -> pathlib.Path:
    """Returns the file of a step's record."""
    return folder / f"{step}.json"


def read_record(path: pathlib.Path) -> Record:
    """Reads a record; returns an empty one where there is none, or none that can be read.

    Args:
      path: of `record_file`.

    Returns:
      The record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("items"), dict):
        return found
    return {"step": path.stem, "state": STOPPED, "reason": "", "seconds": 0.0, "items": {}}


def write_record(path: pathlib.Path, record: Record) -> None:
    """Writes a record, whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def begin_attempt(record: Record, *, rehearsal: bool) -> None:
    """Makes a record ready for another attempt: finished items stay, others are forgotten.

    Args:
      record: of the step.
      rehearsal: whether shapes are tiny; items of the other kind are forgotten, too.
    """
    is_same = record.get("rehearsal") == rehearsal
    items = record["items"] if is_same else {}
    record["items"] = {name: item for name, item in items.items() if item["state"] == FINISHED}
    record.update(state=RUNNING, reason="", rehearsal=rehearsal)


def close_attempt(record: Record, reason: str) -> None:
    """Sets the final state of an attempt: finished if nothing is missing.

    Args:
      record: of the step.
      reason: why its process ended early; "" if it came to its end.
    """
    failed = [name for name, item in record["items"].items() if item["state"] != FINISHED]
    if not reason and failed:
        reason = f"{len(failed)} of {len(record['items'])} parts failed: {', '.join(failed)}"
    record.update(state=STOPPED if reason else FINISHED, reason=reason)


def results(record: Record) -> dict[str, Any]:
    """Returns what the finished items have found, by name."""
    return {name: item["result"] for name, item in record["items"].items() if item["state"] == FINISHED}


def reasons(record: Record) -> dict[str, str]:
    """Returns why items, and with the name "" the rest of the step, were not measured."""
    found = {name: item.get("reason", "") for name, item in record["items"].items() if item["state"] != FINISHED}
    return found | ({"": record["reason"]} if record["reason"] else {})


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it: numbers that are not finite, which it cannot, as texts such as "nan"."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
