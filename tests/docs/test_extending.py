"""The pages on adding to the library work as they stand: applied to a copy of it, their programs run."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "extending"
EXAMPLES = ["model", "motion_module", "loss", "dataset", "exporter"]
MOST_LINES = 60

_FILE = re.compile(r"^`((?:motion_vit|my_package)/[\w/]+\.py)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"(?<!`:\n\n)^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


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
        page = (PAGES / f"{example}.md").read_text()
        for path, code in _FILE.findall(page):
            assert not (root / path).exists()
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(code)
        for diff in _DIFF.findall(page):
            _apply_diff(diff, root)
    return root


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_program_of_a_page_runs_with_what_the_page_adds(example, extended_library, tmp_path):
    (program,) = _PROGRAM.findall((PAGES / f"{example}.md").read_text())
    environment = os.environ | {"PYTHONPATH": str(extended_library), "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_page_is_short(example):
    page = (PAGES / f"{example}.md").read_text()
    added = [line for diff in _DIFF.findall(page) for line in diff.splitlines() if re.match(r"\+(?!\+\+ )", line)]
    code = [line for _, code in _FILE.findall(page) for line in code.splitlines()]
    program = [line for code in _PROGRAM.findall(page) for line in code.splitlines()]
    lines = [line for line in added + code + program if line.strip()]
    print(example, len(lines))
    assert len(lines) < MOST_LINES
