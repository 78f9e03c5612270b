import json
import pathlib

import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.loop.workdir import check_same_recipe, locked_workdir, prepare_workdir, wait_for_workdir
from motion_vit.training.recipe.config import default_config


@pytest.fixture
def config() -> ConfigDict:
    return default_config()


def test_the_whole_recipe_is_written(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "runs" / "first"
    with locked_workdir(folder):
        prepare_workdir(config, folder)
    wait_for_workdir(folder)
    assert {path.name for path in folder.iterdir()} == {".lock", "recipe.json"}
    assert json.loads((tmp_path / "runs" / "first" / "recipe.json").read_text())["batch_size"] == config.batch_size


def test_a_workdir_that_cannot_be_written_is_named_with_the_reason(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; give a folder"):
        locked_workdir(tmp_path / "file").__enter__()
    # Not even root can make a folder there.
    with pytest.raises(UserError, match=r"the workdir /proc/run cannot be written: No such file or directory"):
        locked_workdir(pathlib.Path("/proc/run")).__enter__()
    # Nor ask whether this one exists, as others may not inside a folder that is closed to them.
    with pytest.raises(UserError, match="cannot be written: File name too long"):
        locked_workdir(tmp_path / ("x" * 300)).__enter__()


@pytest.mark.parametrize("content", ["", '{"seed": ', "[]"])
def test_a_damaged_recipe_of_a_run_is_named_and_may_be_removed(
    content: str, config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(UserError, match=r"recipe.json of .* is damaged: .*; remove it to continue with this recipe"):
        prepare_workdir(config, tmp_path)
    (tmp_path / "recipe.json").unlink()
    prepare_workdir(config, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == config.seed


def test_a_run_that_failed_before_its_first_checkpoint_may_take_another_recipe(
    config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1.orbax-checkpoint-tmp").mkdir(parents=True)
    config.seed = 1
    prepare_workdir(config, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == 1


def test_a_run_may_go_on_with_other_notes_which_its_recipe_then_has(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    config.notes = {"why": {"tried": [1, 2]}}
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    assert json.loads((tmp_path / "recipe.json").read_text())["notes"] == {"why": {"tried": [1, 2]}}
    other = default_config()
    other.notes = "a slower decay"
    prepare_workdir(other, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text())["notes"] == "a slower decay"


def test_a_run_may_go_on_with_another_mesh_but_not_another_seed(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    config.mesh.fsdp = 4
    prepare_workdir(config, tmp_path)
    config.seed = 1
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        prepare_workdir(config, tmp_path)


def test_a_run_goes_on_with_more_epochs_where_its_learning_rate_allows_it(
    config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    config.optimizer.schedule, config.optimizer.decay_epochs, config.epochs = "step", (20.0,), 30.0
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    config.epochs = 40.0
    prepare_workdir(config, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text())["epochs"] == 40
    config.epochs = 39.0
    with pytest.raises(UserError, match=r"epochs: 40\.0 there, 39\.0 here"):
        prepare_workdir(config, tmp_path)
    config.epochs, config.seed = 50.0, 1
    with pytest.raises(UserError, match="seed: 0 there, 1 here") as raised:
        prepare_workdir(config, tmp_path)
    assert "epochs:" not in str(raised.value)


def test_a_cosine_that_has_ended_is_not_made_longer_and_the_way_out_is_named(
    config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    config.epochs += 10
    with pytest.raises(
        UserError, match=r"(?s)epochs: 60\.0 there, 70\.0 here.*cosine of the learning rate has its end"
    ) as raised:
        prepare_workdir(config, tmp_path)
    assert f"--workdir OTHER --config.initial_weights={tmp_path}" in str(raised.value)


def test_a_workdir_that_another_machine_does_not_see_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="all machines of the run share"):
        wait_for_workdir(tmp_path / "elsewhere", seconds=0)


def test_processes_with_different_recipes_are_told_which_field(
    config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_same_recipe(config)
    monkeypatch.setattr(
        "motion_vit.training.loop.workdir.gather", lambda recipe: [recipe, recipe, {**recipe, "batch_size": 3}]
    )
    with pytest.raises(UserError, match="batch_size is 32 in process 0 and 3 in process 2"):
        check_same_recipe(config)


def test_a_folder_of_something_else_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.tex").touch()
    message = r"holds 'thesis\.tex' and no recipe\.json: it is not the folder of a run"
    with pytest.raises(UserError, match=message), locked_workdir(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["slurm-1.out", "log.txt", ".DS_Store"])
def test_a_folder_of_logs_is_taken(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).touch()
    with locked_workdir(tmp_path) as note:
        assert note == ""


def test_a_second_run_is_kept_out(tmp_path: pathlib.Path) -> None:
    with locked_workdir(tmp_path):
        message = "training since .* is writing into"
        with pytest.raises(UserError, match=message), locked_workdir(tmp_path):
            pass
