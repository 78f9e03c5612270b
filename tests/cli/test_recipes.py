"""Recipes are installed with the library, and found by name from any folder."""

import json
import pathlib

import pytest

from motion_vit import UserError, cli
from motion_vit.training.recipe.file import load_config, load_configs
from motion_vit.training.recipe.packaged import packaged_recipes, recipe_file

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_installed_recipes_are_those_of_the_repository() -> None:
    installed = {name: file.read_text(encoding="utf-8") for name, file in packaged_recipes().items()}
    files = [file for file in CONFIGS.glob("*.py") if file.name != "__init__.py"]
    assert installed == {file.stem: file.read_text(encoding="utf-8") for file in files}


def test_every_recipe_is_listed_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipe", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(packaged_recipes())
    for line, name in zip(lines, packaged_recipes(), strict=True):
        assert line.startswith(f"{name} ")
        assert len(line.split()) > 3


def test_a_recipe_is_shown_and_copied_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CONFIGS / "my_videos.py").read_text(encoding="utf-8")
    assert cli.main(["recipe", "show", "my_videos"]) == 0
    assert capsys.readouterr().out == text
    assert cli.main(["recipe", "copy", "my_videos", "mine.py"]) == 0
    assert pathlib.Path("mine.py").read_text(encoding="utf-8") == text
    assert load_config("mine.py") == load_config("my_videos")


def test_a_file_is_not_written_over_and_a_folder_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("mine.py").write_text("my work", encoding="utf-8")
    assert cli.main(["recipe", "copy", "demo", "mine.py"]) == 2
    assert "mine.py exists already; it is left as it is" in capsys.readouterr().err
    assert pathlib.Path("mine.py").read_text(encoding="utf-8") == "my work"
    assert cli.main(["recipe", "copy", "demo", "nowhere/mine.py"]) == 2
    assert "the folder nowhere does not exist. Make it first" in capsys.readouterr().err
    assert cli.main(["recipe", "copy", "demo", "mine"]) == 2
    assert "recipes are Python files" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "../models/registry", "__init__", "./mine.py", "/etc/hostname", "dem"])
def test_only_installed_recipes_are_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("mine.py").write_text("my work", encoding="utf-8")
    assert cli.main(["recipe", "show", name]) == 2
    assert f"no recipe {name!r} is installed." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ssv1_m2a_resnet18:m2a", "ssv1_m2a_resnet18.py"])
def test_a_part_of_a_recipe_is_shown_as_the_whole_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipe", "show", name]) == 0
    assert "get_configs" in capsys.readouterr().out


def test_config_takes_names_parts_and_paths() -> None:
    assert load_config("demo").name == "demo"
    assert load_config("comparison:emim") == load_configs("comparison")["emim"]
    pathlib.Path("demo").mkdir()  # as the demo's own workdir is called
    assert load_config("demo").name == "demo"
    with pytest.raises(
        UserError, match=r"no config file my_video, and no recipe .* Did you mean 'my_videos'\? Those that are: comp"
    ):
        load_config("my_video")
    with pytest.raises(UserError, match=r"no recipe 'nothing'. It has: uniformer, emim"):
        load_config("comparison:nothing")


@pytest.mark.parametrize("path", ["mine.py", "folder/demo", "./demo", "demo.py:part"])
def test_what_is_a_path_stays_one(path: str) -> None:
    assert recipe_file(path) == path


def test_fields_are_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["recipe", "fields", "optimizer.eps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "optimizer.eps = 1e-08   (float)"
    assert " ".join(line.strip() for line in lines[1:]).endswith("Must be a number above 0 and at most 1000.")
    assert max(map(len, lines)) <= 60
    assert cli.main(["recipe", "fields", "--json"]) == 0
    assert {field["name"]: field["default"] for field in json.loads(capsys.readouterr().out)}["batch_size"] == "32"
    assert cli.main(["recipe", "fields", "wd"]) == 2
    assert "Did you mean 'optimizer.weight_decay'?" in capsys.readouterr().err
