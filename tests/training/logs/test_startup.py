"""The line about the first step says where the time until then went."""

import pathlib
import re

import jax
import pytest
from ml_collections import ConfigDict

from motion_vit.training.loop.loop import train

PHASES = ["data", "model", "state", "first batch", "trace", "compile or load", "step"]


def test_a_start_tells_its_phases_which_add_up_to_it(
    small_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=2)
    (line,) = re.findall(r"first step done after ([\d.]+) s: (.*)", capsys.readouterr().out)
    phases = {name: float(seconds) for name, seconds in re.findall(r"([a-z ]+) ([\d.]+)(?:, |$)", line[1])}
    assert list(phases) == PHASES
    assert sum(phases.values()) == pytest.approx(float(line[0]), abs=0.05 * len(PHASES))
    assert phases["trace"] > 0
