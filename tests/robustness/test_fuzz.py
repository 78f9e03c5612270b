"""A small run of the fuzzer; `make fuzz` is a large one."""

import pathlib

import pytest
from fuzz import FAILURES, fuzz
from hostile_inputs import KINDS, write_input

SEED, INPUTS = 1, 90


def test_hostile_inputs_are_refused_with_a_message_in_bounded_time_and_memory() -> None:
    failures = [finding for finding in fuzz(SEED, INPUTS) if finding.outcome in FAILURES]
    assert failures == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_the_same_for_the_same_seed(kind: str, tmp_path: pathlib.Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = write_input(kind, 5, tmp_path / name)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        contents.append({file.name: file.read_bytes() for file in files if file.suffix != ".pth"})
    assert contents[0] == contents[1]
