"""A small run of the fuzzer; `make fuzz` is a large one."""

import pathlib
from collections.abc import Iterator

import pytest
from fuzz import FAILURES, fuzz, good_folder
from hostile_inputs import KINDS, write_input

SEED, INPUTS = 1, 70
# torch.save does not write the same bytes twice.
OF_TORCH = (".pth", ".pt", ".pyth")


@pytest.fixture(scope="module")
def good() -> Iterator[pathlib.Path]:
    """The good inputs that hostile ones are made from."""
    with good_folder() as folder:
        yield folder


@pytest.mark.slow
def test_hostile_inputs_are_refused_with_a_message_in_bounded_time_and_memory(good: pathlib.Path) -> None:
    findings = list(fuzz(SEED, INPUTS, good))
    assert {finding.kind for finding in findings} == set(KINDS)
    assert [finding for finding in findings if finding.outcome in FAILURES] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_the_same_for_the_same_seed(kind: str, good: pathlib.Path, tmp_path: pathlib.Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = write_input(kind, 5, tmp_path / name, good)
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        contents.append({file.name: file.read_bytes() for file in files if file.suffix not in OF_TORCH})
    assert contents[0] == contents[1]
