import json
import pathlib

import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.loop.workdir import check_same_recipe, prepare_workdir, wait_for_workdir
from motion_vit.training.recipe.config import default_config


@pytest.fixture
def config() -> ConfigDict:
    return default_config()


def test_the_whole_recipe_is_written(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    prepare_workdir(config, tmp_path / "runs" / "first")
    wait_for_workdir(tmp_path / "runs" / "first")
    assert [path.name for path in (tmp_path / "runs" / "first").iterdir()] == ["recipe.json"]
    assert json.loads((tmp_path / "runs" / "first" / "recipe.json").read_text())["batch_size"] == config.batch_size


def test_a_workdir_that_cannot_be_written_is_named_with_the_reason(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; give a folder"):
        prepare_workdir(config, tmp_path / "file")
    # Not even root can make a folder there.
    with pytest.raises(UserError, match=r"the workdir /proc/run cannot be written: No such file or directory"):
        prepare_workdir(config, pathlib.Path("/proc/run"))
    # Nor ask whether this one exists, as others may not inside a folder that is closed to them.
    with pytest.raises(UserError, match="cannot be written: File name too long"):
        prepare_workdir(config, tmp_path / ("x" * 300))


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


def test_a_run_may_go_on_with_another_mesh_but_not_another_seed(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    prepare_workdir(config, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    config.mesh.fsdp = 4
    prepare_workdir(config, tmp_path)
    config.seed = 1
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        prepare_workdir(config, tmp_path)


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
