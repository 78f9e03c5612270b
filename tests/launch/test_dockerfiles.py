"""The images: instructions that Docker knows, and files, extras and commands that are there."""

import json
import pathlib
import re
import tomllib

import pytest

from motion_vit import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVE = ROOT / "launch" / "serve.Containerfile"
DOCKERFILES = [*sorted((ROOT / "launch").glob("*.Dockerfile")), SERVE]
# https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR")
}


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_docker_knows_the_instructions(path: pathlib.Path) -> None:
    found = instructions(path)
    assert found[0][0] == "FROM"
    assert {name for name, _ in found} <= INSTRUCTIONS
    # The version of Python that the lock file is made for, and a tag that does not move to another one.
    python = re.fullmatch(r"python:(\d+\.\d+)-slim-bookworm", found[0][1])
    assert python is not None
    assert f"--python-version {python[1]}" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_exists(path: pathlib.Path) -> None:
    copied = [rest.split()[:-1] for name, rest in instructions(path) if name == "COPY"]
    for source in (name for names in copied for name in names):
        assert (ROOT / source).exists(), source
    sources = {name for names in copied for name in names}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # What the build of the package reads: setup.py turns README.md into the description and configs into a package.
    assert {"pyproject.toml", "setup.py", "README.md", "motion_vit", "configs", *project["license-files"]} <= sources
    # All of it before it is built.
    kinds = [name for name, _ in instructions(path)]
    assert "COPY" not in kinds[kinds.index("RUN") :]


def test_the_server_image_serves_and_asks_for_its_health_without_rights() -> None:
    found = dict(instructions(SERVE))
    extra = re.fullmatch(r'pip install .*--constraint constraints\.txt "\.\[(\w+)\]"', found["RUN"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra is not None
    assert extra[1] in project["optional-dependencies"]
    # Not root, by number, which a cluster can check.
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", found["USER"])
    assert list(found).index("USER") > list(found).index("RUN")
    program, *arguments = json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])
    assert program in project["scripts"]
    options, rest = cli._parser().parse_known_args(arguments)
    assert (options.host, str(options.port), rest) == ("0.0.0.0", found["EXPOSE"], [])
    _, _, check = found["HEALTHCHECK"].partition("CMD ")
    python, flag, code = json.loads(check)
    assert (python, flag) == ("python", "-c")
    assert f"http://127.0.0.1:{found['EXPOSE']}/healthz" in code
    compile(code, "HEALTHCHECK", "exec")


@pytest.mark.parametrize(("name", "extra"), [("cuda", "gpu"), ("tpu", "tpu")])
def test_the_image_holds_the_package_for_its_device(name: str, extra: str) -> None:
    found = instructions(ROOT / "launch" / f"{name}.Dockerfile")
    (install,) = [rest for kind, rest in found if kind == "RUN"]
    assert "--constraint constraints.txt" in install
    assert f'".[{extra}]"' in install
    # The exec form: signals reach the command itself, which saves.
    assert ("ENTRYPOINT", '["motion-vit"]') in found
