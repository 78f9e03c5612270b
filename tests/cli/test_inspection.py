"""`motion-vit inspect` of recipes."""

import dataclasses
import json
import pathlib

import pytest

from motion_vit import cli
from motion_vit.training.ahead_of_time import report as scaling_report
from motion_vit.training.ahead_of_time.program_costs import ProgramCosts
from motion_vit.training.ahead_of_time.report import MemoryByKind, ScalingReport

RECIPE = str(pathlib.Path(__file__).resolve().parents[2] / "configs" / "my_videos.py")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, int]]:
    """Answers without compiling, with a device that holds 32 clips; lists the batch, topology and classes asked for."""
    asked = []

    def answer(config, topology, *, num_classes):
        asked.append((config.batch_size, topology, num_classes))
        report = ScalingReport(
            topology=topology,
            devices=4,
            device_kind="TPU v5 lite",
            mesh={"data": 4, "fsdp": 1, "frames": 1},
            clips=config.batch_size,
            limit=8,
            compile_seconds=1.0,
            memory=MemoryByKind(0, 0, 0, config.batch_size // 4, 0, 0, 0, 0),
            costs=ProgramCosts(1, 1, 1, (), 0, 0),
        )
        if config.batch_size < 1000:
            return report
        return dataclasses.replace(report, memory=None, costs=None, refusal="the total memory required exceeds")

    monkeypatch.setattr(scaling_report, "scaling_report", answer)
    return asked


def test_every_topology_is_reported_and_one_that_is_too_small_shows_in_the_exit_status(compiled, capsys):
    command = ["inspect", RECIPE, "--classes", "7", "--topology", "v5e:2x2", "--topology", "v6e:2x2"]
    assert cli.main([*command, "--config.batch_size=32"]) == 0
    assert compiled == [(32, "v5e:2x2", 7), (32, "v6e:2x2", 7)]
    assert capsys.readouterr().out.count("communication") == 2
    assert cli.main([*command, "--config.batch_size=64"]) == 3
    assert "does not fit, 200 %" in capsys.readouterr().out
    assert cli.main([*command, "--config.batch_size=4000"]) == 3
    assert "does not fit: the total memory required exceeds" in capsys.readouterr().out


def test_the_value_of_a_field_may_be_the_next_argument(compiled, capsys):
    assert cli.main(["inspect", RECIPE, "--config.batch_size", "64"]) == 3
    assert compiled == [(64, "local", 400)]
    assert cli.main(["inspect", "my_videos", "--config.seed", "-1", "--classes", "3"]) == 0
    assert compiled[1:] == [(16, "local", 3)]
    capsys.readouterr()
    assert cli.main(["inspect", RECIPE, "--config.batch_size", "--classes", "3"]) == 2
    assert "--config.batch_size needs a value" in capsys.readouterr().err


def test_json_holds_every_report(compiled, capsys):
    assert cli.main(["inspect", RECIPE, "--json", "--config.batch_size=64"]) == 3
    (report,) = json.loads(capsys.readouterr().out)
    assert compiled == [(64, "local", 400)]
    assert (report["memory"]["batch"], report["memory"]["total"], report["fits"]) == (16, 16, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["uniformer_emim_tiny", "--topology", "v5e:2x2"], "are for recipes, which are .py files"),
        (["uniformer_emim_tiny", "--config.seed=3"], "are for recipes, which are .py files"),
        (["uniformer_emim_tiny", "--classes", "3"], "are for recipes, which are .py files"),
        ([RECIPE, "frames=8"], "'frames=8' is an option of a model"),
        (["nowhere.py"], "there is no config file nowhere.py"),
        ([RECIPE, "--config.epoch=3"], "Did you mean 'epochs'?"),
    ],
)
def test_mistakes_are_named(arguments, message, capsys):
    assert cli.main(["inspect", *arguments]) == 2
    assert message in capsys.readouterr().err
