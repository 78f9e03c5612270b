"""What is around the code agrees with it: the published package, continuous integration, and what hosts read."""

import ast
import email
import email.message
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.parse
import zipfile
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]

# The repository's own address, in any form: pages, raw files, Colab.
_ADDRESS = re.compile(r"(?:github\.com|githubusercontent\.com|google\.com/github)/([\w.-]+/motion_vit)\b")
_TEXT = {".cff", ".ipynb", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
# What is made in a checkout, and no part of the repository.
_MADE = {".cache", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "build", "dist"}


def read_yaml(path: pathlib.Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pythons() -> list[str]:
    """The versions of Python that the classifiers name."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


def jobs() -> dict[str, Any]:
    return {name: job for path in WORKFLOWS for name, job in read_yaml(path)["jobs"].items()}


def repository_texts() -> dict[str, str]:
    """Path in the repository -> text, of everything that may hold the repository's address."""
    files = [
        path
        for top in ROOT.iterdir()
        if top.name not in _MADE
        for path in (top.rglob("*") if top.is_dir() else [top])
        if path.suffix in _TEXT and path.is_file()
    ]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of what it is made of, with the setuptools that is installed."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("motion_vit", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (built,) = (copy / "dist").iterdir()
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_is_read(path: pathlib.Path) -> None:
    assert isinstance(read_yaml(path), dict)


def test_continuous_integration_runs_the_pythons_of_the_classifiers() -> None:
    matrices = {name: job["strategy"]["matrix"]["python"] for name, job in jobs().items() if "strategy" in job}
    assert {"test", "wheel"} <= set(matrices)
    assert all(versions == pythons() for versions in matrices.values()), matrices


def test_the_lowest_versions_run_on_the_lowest_python() -> None:
    assert PROJECT["requires-python"] == f">={pythons()[0]}"
    versions = [step["with"]["python-version"] for step in jobs()["lowest"]["steps"] if "setup-python" in str(step)]
    assert versions == pythons()[:1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_runs_what_it_names(path: pathlib.Path) -> None:
    workflow = read_yaml(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job and "permissions" not in job for job in workflow["jobs"].values())
    # A commit cannot be moved as a tag can; the version behind it is for people.
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


def test_pre_commit_has_the_ruff_of_the_project() -> None:
    (pinned,) = [name for name in PROJECT["optional-dependencies"]["dev"] if name.startswith("ruff==")]
    hooks = {repository["repo"]: repository for repository in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]}
    assert hooks["https://github.com/astral-sh/ruff-pre-commit"]["rev"] == pinned.replace("ruff==", "v")


def test_the_smoke_test_installs_a_fixed_version_of_uv() -> None:
    assert re.search(r"pip install .*\buv==[\d.]+$", (ROOT / ".ci" / "smoke").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_citation_is_of_this_version() -> None:
    citation = read_yaml(ROOT / "CITATION.cff")
    said = {name: str(citation[name]) for name in ("version", "license", "repository-code")}
    assert said == {
        "version": PROJECT["version"],
        "license": PROJECT["license"],
        "repository-code": PROJECT["urls"]["Repository"],
    }
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_all_files_have_one_address_of_the_repository() -> None:
    texts = repository_texts()
    found = {(path, address) for path, text in texts.items() for address in _ADDRESS.findall(text)}
    assert {path for path, _ in found} >= {"README.md", "pyproject.toml", "CITATION.cff", "SECURITY.md"}
    own = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    assert [(path, address) for path, address in sorted(found) if address != own] == []
    # What README.md's command replaces is the placeholder in full: nothing would be left of it.
    part = re.compile(r"\bOWNER\b(?!/motion_vit\b)")
    assert [path for path, text in texts.items() if part.search(text) and path != "tests/test_repository.py"] == []


def test_the_wheel_has_every_file_of_the_library(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    files = [path for path in (ROOT / "motion_vit").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    assert {"motion_vit/py.typed", "motion_vit/serving/page/page.html"} <= expected
    assert sorted(expected - names) == []
    assert "motion_vit/recipes/demo.py" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"motion_vit"}


def test_the_metadata_say_licence_authors_and_addresses(metadata: email.message.Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The motion_vit authors"
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL") or [])
    assert urls == PROJECT["urls"]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_description_has_no_relative_links(metadata: email.message.Message) -> None:
    links, pictures = links_of(str(metadata.get_payload()))
    assert [link for link in links + pictures if not link.startswith("https://")] == []


def test_links_of_the_description_lead_to_files_of_the_repository(metadata: email.message.Message) -> None:
    links, pictures = links_of(str(metadata.get_payload()))
    page = PROJECT["urls"]["Repository"] + "/blob/main/"
    raw = page.replace("github.com", "raw.githubusercontent.com").replace("/blob/", "/")
    linked = [urllib.parse.urlsplit(link.removeprefix(page)).path for link in links if link.startswith(page)]
    shown = [picture.removeprefix(raw) for picture in pictures if picture.startswith(raw)]
    assert [path for path in linked + shown if not (ROOT / path).exists()] == []
    # As many as README.md has, where they are relative.
    in_readme = links_of((ROOT / "README.md").read_text(encoding="utf-8"))
    relative = [[link for link in kind if not link.startswith("https://")] for kind in in_readme]
    assert [len(linked), len(shown)] == [len(kind) for kind in relative]
    assert all(relative)


def links_of(markdown: str) -> tuple[list[str], list[str]]:
    """The targets of links and of pictures in Markdown, also of those in pieces of HTML."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    flat = [token for block in tokens for token in (block, *(block.children or []))]
    # The picture of a badge lies in its link.
    html = "\n".join(token.content for token in flat if token.type in ("html_block", "html_inline"))
    links = [str(token.attrs["href"]) for token in flat if token.type == "link_open"]
    pictures = [str(token.attrs["src"]) for token in flat if token.type == "image"]
    return links + re.findall(r'href="([^"]*)"', html), pictures + re.findall(r'src="([^"]*)"', html)


def test_every_protocol_can_be_checked_at_run_time() -> None:
    # `make check-types` compares arguments with annotations, and stops at a protocol that cannot be asked.
    unchecked = []
    for path in sorted((ROOT / "motion_vit").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "Protocol" in text else ():
            if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
                unchecked += [] if "runtime_checkable" in map(ast.unparse, node.decorator_list) else [node.name]
    assert unchecked == []
