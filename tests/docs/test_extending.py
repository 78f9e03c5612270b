"""The pages on adding to the library work as they stand: applied to a copy of it, their programs and tests run."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from extending_pages import ROOT, page_diffs, page_files, page_programs, write_page_files

EXAMPLES = ["model", "motion_module", "loss", "dataset", "exporter"]
MOST_LINES = 70
# What a model and a motion module of one's own take: files of one's own package, and none of the library.
OWN_FILES = {
    "model": {"my_package/two_stream.py", "pyproject.toml", "tests/test_two_stream.py"},
    "motion_module": {"my_package/acceleration.py"},
    "loss": {"my_package/brier.py"},
}


def _apply_diff(diff: str, root: pathlib.Path) -> None:
    """Changes files; a hunk is found by its lines, which must be there once."""
    for part in re.split(r"^(?=--- a/)", diff, flags=re.MULTILINE)[1:]:
        header, *hunks = part.split("\n@@\n")
        file = root / re.search(r"^\+\+\+ b/(.*)$", header, re.MULTILINE)[1]
        text = file.read_text()
        for hunk in hunks:
            lines = hunk.rstrip("\n").split("\n")
            old = "\n".join(line[1:] for line in lines if line[0] != "+") + "\n"
            new = "\n".join(line[1:] for line in lines if line[0] != "-") + "\n"
            assert text.count(old) == 1, f"{file} has {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        file.write_text(text)


@pytest.fixture(scope="module")
def extended_library(tmp_path_factory):
    """A copy of the library with everything that the pages add."""
    root = tmp_path_factory.mktemp("library")
    shutil.copytree(ROOT / "motion_vit", root / "motion_vit", ignore=shutil.ignore_patterns("__pycache__"))
    for example in EXAMPLES:
        write_page_files(example, root)
        for diff in page_diffs(example):
            _apply_diff(diff, root)
    return root


@pytest.mark.fast_cases("dataset")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_program_of_a_page_runs_with_what_the_page_adds(example, extended_library, tmp_path):
    (program,) = page_programs(example)
    _run([sys.executable, "-c", program], extended_library, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", [page for page in EXAMPLES if any("test_" in path for path in page_files(page))])
def test_the_tests_of_a_page_pass(example, extended_library, tmp_path):
    tests = [str(extended_library / path) for path in page_files(example) if "test_" in path]
    _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], extended_library, tmp_path)


@pytest.mark.parametrize("example", OWN_FILES)
def test_a_page_needs_no_change_of_the_library(example):
    assert set(page_files(example)) == OWN_FILES[example]
    assert not page_diffs(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_page_is_short(example):
    added = [line for diff in page_diffs(example) for line in diff.splitlines() if re.match(r"\+(?!\+\+ )", line)]
    code = [line for text in page_files(example).values() for line in text.splitlines()]
    program = [line for text in page_programs(example) for line in text.splitlines()]
    lines = [line for line in added + code + program if line.strip()]
    print(example, len(lines))
    assert len(lines) < MOST_LINES


def _run(command: list[str], library: pathlib.Path, folder: pathlib.Path) -> None:
    """Runs a command in a process of its own, which must succeed, with the copy of the library."""
    environment = os.environ | {"PYTHONPATH": str(library), "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]
