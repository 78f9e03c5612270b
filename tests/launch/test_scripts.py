"""Every file of launch/ begins with instructions, and its shell, and that of .ci/, accepts the scripts."""

import pathlib
import subprocess
import sys

import pytest

from motion_vit.cli.arguments import STOPPED_STATUS

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(path for path in LAUNCH.iterdir() if path.is_file())
CONTINUOUS_INTEGRATION = [LAUNCH.parent / ".ci" / name for name in ("run", "newer_python", "smoke")]
SHELL = [path for path in FILES if path.suffix in (".sh", ".sbatch")] + CONTINUOUS_INTEGRATION
RETRYING = ["local.sh", "slurm.sbatch", "tpu_vm.sh", "gke_jobset.yaml", "xpk.sh", "sky.yaml"]


def header(path: pathlib.Path) -> str:
    """The comment that a file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(lines[:end])


def test_there_is_a_way_for_each_kind_of_machine() -> None:
    assert {path.name for path in FILES} == {*RETRYING, "cuda.Dockerfile", "tpu.Dockerfile", "serve.Containerfile"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_begins_with_what_to_edit_and_how_to_follow_and_stop_the_run(path: pathlib.Path) -> None:
    comment = header(path).casefold()
    for word in ("edit", "follow", "stop"):
        assert word in comment


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_are_as_short_as_those_of_the_code(path: pathlib.Path) -> None:
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_bash_reads_the_script(path: pathlib.Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)


def test_shellcheck_finds_nothing() -> None:
    shellcheck = pathlib.Path(sys.executable).with_name("shellcheck")
    result = subprocess.run([shellcheck, *SHELL], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", RETRYING)
def test_a_file_knows_the_status_of_a_run_that_was_stopped(name: str) -> None:
    assert str(STOPPED_STATUS) in (LAUNCH / name).read_text(encoding="utf-8")
