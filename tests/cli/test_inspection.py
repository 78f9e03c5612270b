"""`motion-vit inspect` of recipes."""

import dataclasses
import json
import pathlib

import jax
import pytest

from motion_vit import cli, create_model
from motion_vit.models.checked_model import trace_model
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
    assert cli.main(["inspect", RECIPE, "--compile", "--config.batch_size", "64"]) == 3
    assert compiled == [(64, "local", 400)]
    assert cli.main(["inspect", "--config", "my_videos", "--compile", "--config.seed", "-1", "--classes", "3"]) == 0
    assert compiled[1:] == [(16, "local", 3)]
    capsys.readouterr()
    assert cli.main(["inspect", RECIPE, "--config.batch_size", "--classes", "3"]) == 2
    assert "--config.batch_size needs a value" in capsys.readouterr().err


def test_json_holds_every_report(compiled, capsys):
    assert cli.main(["inspect", RECIPE, "--topology", "local", "--json", "--config.batch_size=64"]) == 3
    (report,) = json.loads(capsys.readouterr().out)
    assert compiled == [(64, "local", 400)]
    assert (report["memory"]["batch"], report["memory"]["total"], report["fits"]) == (16, 16, False)


TINY = """
from motion_vit.training.recipe.config import default_config

def get_config(train=""):
    config = default_config()
    config.model.name = "resnet18_tiny"
    config.data.train = train
    config.data.validation = train
    config.data.frames = 4
    config.data.size = 32
    config.batch_size = 4
    config.accumulation = 2
    config.epochs = 10.0
    config.ema = ((".*", 0.9),)
    return config
"""


@pytest.fixture
def tiny(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "a:tiny.py"
    path.write_text(TINY, encoding="utf-8")
    return str(path)


def a_list(folder: pathlib.Path, videos: int) -> str:
    """Writes a list of files without a video in them, of three classes, two of which have one each."""
    for number in range(videos):
        (folder / f"{number}.mp4").touch()
    lines = [f"{number}.mp4,{'wave' if number > 1 else ('nod', 'bow')[number]}" for number in range(videos)]
    (folder / "list.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    return str(folder / "list.csv")


@pytest.mark.fast_cases("flags1")
@pytest.mark.parametrize("flags", [[], ["--config"]])
def test_a_recipe_is_outlined_without_compiling(flags, tiny, tmp_path, compiled, capsys):
    assert cli.main(["inspect", *flags, f"{tiny}:{a_list(tmp_path, 23)}", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert not compiled
    model = create_model("resnet18_tiny", num_classes=3, frames=4, image_size=32)
    shapes = trace_model(model).shapes["params"]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert (run["steps_per_epoch"], run["steps"]) == (5, 50)
    assert run["clip_shape"] == [4, 32, 32, 3]
    assert (run["clips"], run["clips_at_once"], run["batch_bytes"]) == (4, 2, 4 * 4 * 32 * 32 * 3)
    assert (run["parameters"], run["trained"], run["parameter_bytes"]) == (parameters, parameters, 4 * parameters)
    assert 0 <= run["optimizer_bytes"] - 8 * parameters < 100  # two moments of AdamW, and counters
    assert run["other_bytes"] >= 4 * parameters  # averages
    assert run["state_bytes"] == run["parameter_bytes"] + run["optimizer_bytes"] + run["other_bytes"]
    assert [run["training"][name] for name in ("videos", "classes", "fewest", "most")] == [23, 3, 1, 21]
    rates = dict(run["learning_rates"])
    assert rates[0.0] == pytest.approx(1e-6, rel=1e-4)
    assert rates[5.0] == max(rates.values()) == pytest.approx(2e-4)
    assert rates[10.0] < 1e-4


def test_an_outline_without_data_says_so_and_what_it_assumes(tiny, capsys):
    assert cli.main(["inspect", tiny]) == 0
    text = capsys.readouterr().out
    assert "400 classes (assumed; --classes N for others)" in text
    assert "config field data.train is ''" in text
    assert "depend on the data" in text
    assert "activations, a rough estimate" in text
    assert "1e-06 at epoch 0, 0.0001 at epoch 2.5, 0.0002 at epoch 5, " in text
    assert cli.main(["inspect", tiny, "--classes", "7", "--config.optimizer.frozen=(('stage[12]/.*', True),)"]) == 0
    text = capsys.readouterr().out
    assert "7 classes\n" in text
    assert "are frozen" in text


def test_a_batch_that_is_larger_than_the_data_is_told(tiny, tmp_path, capsys):
    assert cli.main(["inspect", f"{tiny}:{a_list(tmp_path, 3)}"]) == 2
    assert "batch_size is 4, but " in capsys.readouterr().err


def test_the_classes_of_a_compiled_step_are_those_of_the_data(tiny, tmp_path, compiled):
    assert cli.main(["inspect", f"{tiny}:{a_list(tmp_path, 23)}", "--compile"]) == 0
    assert cli.main(["inspect", f"{tiny}:{a_list(tmp_path, 23)}", "--compile", "--topology", "v5e:2x2"]) == 0
    assert compiled == [(4, "local", 3)] * 2 + [(4, "v5e:2x2", 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18_tiny", "--topology", "v5e:2x2"], "are for recipes, which are .py files"),
        (["resnet18_tiny", "--config.seed=3"], "are for recipes, which are .py files"),
        (["resnet18_tiny", "--classes", "3"], "are for recipes, which are .py files"),
        ([RECIPE, "frames=8"], "'frames=8' is an option of a model"),
        (["nowhere.py"], "there is no config file nowhere.py"),
        ([RECIPE, "--config.epoch=3"], "Did you mean 'epochs'?"),
        (["--config", RECIPE, "frames=8"], "'frames=8' is an option of a model"),
        (["--config", "nowhere.py"], "there is no config file nowhere.py"),
        (["resnet18_tiny", "--compile"], "are for recipes, which are .py files"),
        ([], "nothing is named"),
    ],
)
def test_mistakes_are_named(arguments, message, capsys):
    assert cli.main(["inspect", *arguments]) == 2
    assert message in capsys.readouterr().err
