import importlib.util
import os
import subprocess
import sys

import pytest

from motion_vit.training.parallel import tpu_environment
from motion_vit.training.parallel.tpu_environment import has_tpu, quiet_absent_tpu

NAMES = tuple(tpu_environment._WITHOUT_TPU)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process that names no platform, on a machine with libtpu and without a TPU."""
    # Set first, so that what the function adds is taken away again after the test.
    for name in (*NAMES, "JAX_PLATFORMS", "JAX_FORCE_TPU_INIT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(tpu_environment, "_has_chips", lambda: False)
    return monkeypatch


def test_libtpu_is_told_that_there_is_no_tpu(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TPU_WORKER_ID", "3")
    quiet_absent_tpu()
    assert set(NAMES) <= set(os.environ)
    assert os.environ["TPU_WORKER_ID"] == "3"


@pytest.mark.parametrize("surroundings", ["a TPU", "a platform", "force", "no libtpu"])
def test_nothing_is_told_where_a_tpu_is_there_or_asked_for(environment: pytest.MonkeyPatch, surroundings: str) -> None:
    if surroundings == "a TPU":
        environment.setattr(tpu_environment, "_has_chips", lambda: True)
    elif surroundings == "a platform":
        environment.setenv("JAX_PLATFORMS", "tpu,cpu")
    elif surroundings == "force":
        environment.setenv("JAX_FORCE_TPU_INIT", "1")
    else:
        environment.setattr(importlib.util, "find_spec", lambda name: None)
    quiet_absent_tpu()
    assert not set(NAMES) & set(os.environ)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the extra tpu")
@pytest.mark.skipif(has_tpu(), reason="needs a machine without a TPU")
def test_a_command_starts_without_complaints_of_libtpu() -> None:
    code = (
        "import sys; from motion_vit import cli; sys.exit(cli.main(['predict', 'absent.mp4', '--checkpoint', 'demo']))"
    )
    unset = {"JAX_PLATFORMS", "JAX_FORCE_TPU_INIT", *NAMES}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert answer.returncode == 1
    assert [line for line in answer.stderr.splitlines() if "motion-vit" not in line and "absent.mp4" not in line] == []
