"""The notebooks: text and rendered form agree, and every cell runs, with what it asserts, from nothing."""

import json
import os
import pathlib
import re

import jax
import nbformat
import pytest
from execute import FOLDER, NAMES, execute, read_text

_LARGEST = 600_000  # bytes of a notebook with its pictures
_LARGEST_PICTURE = 200_000
_TRAINING = ("quickstart", "attention_maps", "your_own_videos")
_README = FOLDER.parent / "README.md"
_BADGE = re.compile(r"https://colab\.research\.google\.com/github/([\w-]+/[\w-]+)/blob/main/notebooks/(\w+)\.ipynb")


def _rendered(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Folder of the programs that notebooks share, where the environment names no other."""
    return tmp_path_factory.mktemp("programs")


def environment(name: str, programs: pathlib.Path) -> dict[str, str]:
    """That of a user, but for what makes it cheap: one device, little optimisation, and programs compiled once for all.

    The training steps of three notebooks are the same program, and run long enough to be worth the first level.
    """
    flags = [f"--xla_backend_optimization_level={int(name in _TRAINING)}", "--xla_cpu_parallel_codegen_split_count=1"]
    if jax.__version_info__ < (0, 12):
        flags.append("--xla_cpu_use_fusion_emitters=false")
    cache = {"JAX_COMPILATION_CACHE_DIR": str(programs), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return {**cache, **os.environ, "XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}


def test_every_notebook_is_known() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(NAMES)
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_rendered_form_is_that_of_the_text(name: str) -> None:
    text, rendered = read_text(name), _rendered(name)
    assert [(cell.cell_type, cell.source) for cell in rendered.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ], f"{name}.ipynb is not what {name}.md says; run `make notebooks`"


@pytest.mark.parametrize("name", NAMES)
def test_the_rendered_form_was_executed_in_order_and_is_small(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < _LARGEST
    code = [cell for cell in _rendered(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert all(len(picture) < _LARGEST_PICTURE for picture in pictures)
    assert not re.search(r"/(tmp|home|work|root)/", json.dumps(outputs)), "a folder of the machine that it was made on"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_asserts_what_it_shows(name: str) -> None:
    assert any(re.search(r"^assert ", cell.source, re.MULTILINE) for cell in read_text(name).cells)


def test_all_badges_open_their_notebook_of_the_same_repository() -> None:
    badges = [(name, _BADGE.findall(read_text(name).cells[0].source)) for name in NAMES]
    assert [[notebook for _, notebook in found] for _, found in badges] == [[name] for name in NAMES]
    in_readme = _BADGE.findall(_README.read_text(encoding="utf-8"))
    assert [notebook for _, notebook in in_readme] == list(NAMES)
    (repository,) = {repository for found in [in_readme, *(found for _, found in badges)] for repository, _ in found}
    for name in NAMES:
        assert f"https://github.com/{repository}\n" in read_text(name).cells[1].source


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_nothing(name: str, tmp_path: pathlib.Path, programs: pathlib.Path) -> None:
    notebook = execute(read_text(name), tmp_path, environment=environment(name, programs))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
