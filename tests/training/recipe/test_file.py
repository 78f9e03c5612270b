import os
import pathlib
import sys

import pytest

from motion_vit import UserError
from motion_vit.training.recipe.file import load_config, load_configs, split_argument

SEVERAL = """
from motion_vit.training.recipe.config import default_config

def get_configs():
    fast, slow = default_config(), default_config()
    slow.epochs = 90.0
    return {"fast": fast, "slow-90": slow}
"""


@pytest.fixture
def several(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "several.py"
    path.write_text(SEVERAL, encoding="utf-8")
    return str(path)


def test_one_of_several_recipes_is_taken_by_its_name(several: str) -> None:
    assert load_config(f"{several}:slow-90").epochs == 90.0
    config = load_config(f"{several}:fast", ["--config.batch_size=7"])
    assert (config.epochs, config.batch_size) == (60.0, 7)


def test_a_recipe_that_is_not_there_is_answered_with_those_that_are(several: str) -> None:
    with pytest.raises(UserError, match=r"several\.py has no recipe 'quick'\. It has: fast, slow-90\."):
        load_config(f"{several}:quick")
    with pytest.raises(UserError, match=r"but several recipes\. Give one of them as .*:NAME, .* fast, slow-90"):
        load_config(several)
    with pytest.raises(UserError, match="there is no config file"):
        load_config("nowhere.py:fast")


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", ""])
def test_recipes_are_called_as_folders_can_be(several: str, name: str) -> None:
    path = pathlib.Path(several)
    path.write_text(SEVERAL.replace("slow-90", name), encoding="utf-8")
    with pytest.raises(UserError, match="but names are made of letters"):
        load_configs(several)


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "[" * 300 + "]" * 300, "-" * 10_000 + "1", "{[]: 1}", "9" * 5000, "f'{1}'"]
)
def test_whatever_is_no_literal_is_taken_as_text_and_refused_by_a_number(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "recipe.py").write_text(SEVERAL)
    with pytest.raises(UserError, match="batch_size is"):
        load_configs(str(tmp_path / "recipe.py"), [f"--config.batch_size={text}"])


IMPORTING = """
from motion_vit.training.recipe.config import default_config
import {module} as beside

def get_config():
    from {module} import BATCH
    config = default_config()
    config.batch_size = beside.BATCH + BATCH
    return config

def get_configs():
    return {{"one": get_config()}}
"""


@pytest.mark.parametrize(
    ("file", "module"), [("file_beside.py", "file_beside"), ("package_beside/inner.py", "package_beside.inner")]
)
def test_a_recipe_imports_what_lies_beside_it(
    file: str, module: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder" / file).parent.mkdir(parents=True)
    (tmp_path / "folder" / "recipe.py").write_text(IMPORTING.format(module=module), encoding="utf-8")
    (tmp_path / "folder" / file).write_text("BATCH = 3", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert load_config("folder/recipe.py").batch_size == 6
    assert load_config("folder/recipe.py:one").batch_size == 6
    assert sys.path == before


def test_what_a_recipe_that_fails_could_import_is_forgotten(tmp_path: pathlib.Path) -> None:
    (tmp_path / "recipe.py").write_text(IMPORTING.format(module="nowhere_beside"), encoding="utf-8")
    before = list(sys.path)
    with pytest.raises(UserError, match="No module named 'nowhere_beside'"):
        load_config(str(tmp_path / "recipe.py"))
    assert sys.path == before


def test_a_single_recipe_where_several_are_asked_for_is_told_what_takes_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "single.py"
    path.write_text("def get_config(): pass", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"but a single recipe\. Give it .* `motion-vit train` .* write get_configs\(\)"
    ):
        load_configs(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit(3)", r"calls sys\.exit\(3\) in place of making a recipe"),
        ("def get_config():\n    raise SystemExit", r"calls sys\.exit\(None\)"),
        ("def get_config():\n    raise ValueError('x ' * 5000)", r"ValueError: x x .*x \.\.\."),
    ],
)
def test_a_recipe_that_fails_is_told_in_a_line(text: str, message: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "recipe.py").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        load_config(str(tmp_path / "recipe.py"))
    assert len(str(raised.value)) < len(str(tmp_path)) + 300


def test_a_recipe_that_is_no_regular_file_is_told_and_not_read(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    for name, what in (("pipe.py", "named pipe"), ("zero.py", "device")):
        with pytest.raises(UserError, match=rf"{name} cannot be read: .*{what}"):
            load_config(str(tmp_path / name))
    with pytest.raises(UserError, match=r"gs://bucket/recipe\.py is an address"):
        load_config("gs://bucket/recipe.py")


PARAMETER = """
from motion_vit.training.recipe.config import default_config

def get_config({parameters}):
    config = default_config()
    config.name = size
    return config
"""


@pytest.mark.parametrize("argument", ["base", "a:b.py:c", "gs://bucket/x", "/data/videos", "", "two words", "x=1,y=2"])
@pytest.mark.parametrize("parameters", ["size", "size='small'", "*, size='small', **more", "size, depth=3"])
def test_what_follows_the_colon_is_given_to_get_config(parameters: str, argument: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(PARAMETER.format(parameters=parameters), encoding="utf-8")
    if parameters.startswith("*"):
        with pytest.raises(UserError, match=r"but its get_config\(.*\) cannot be called with one text alone"):
            load_config(f"{path}:{argument}")
    else:
        assert load_config(f"{path}:{argument}", ["--config.batch_size=3"]).name == argument
    if "size=" in parameters:
        assert load_config(str(path)).name == "small"
    else:
        with pytest.raises(UserError, match=rf"get_config\({parameters}\) of .* needs an argument.*recipe\.py:SIZE"):
            load_config(str(path))


def test_an_argument_that_nothing_takes_is_told(tmp_path: pathlib.Path, several: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(PARAMETER.format(parameters="").replace("size", "'x'"), encoding="utf-8")
    with pytest.raises(UserError, match=r"given the argument 'base', but its get_config\(\) takes none\. Leave out"):
        load_config(f"{path}:base")
    path.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"defines neither get_config\(\) nor get_configs\(\)"):
        load_config(f"{path}:base")
    with pytest.raises(UserError, match="names one recipe, but several are taken here"):
        load_configs(f"{several}:fast")


@pytest.mark.parametrize("name", ["a:b.py", "x.py:y", "C:recipe.py", "x.py:y.py"])
def test_a_file_whose_name_has_a_colon_is_a_file(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path(name).write_text(PARAMETER.format(parameters="size='small'"), encoding="utf-8")
    assert load_config(name).name == "small"
    assert load_config(str(tmp_path / name)).name == "small"
    if name.endswith(".py"):
        assert load_config(f"{name}:base").name == "base"


@pytest.mark.parametrize("path", ["C:\\recipes\\mine.py", "C:/recipes/mine.py", "D:mine.py"])
def test_a_path_with_a_drive_is_split_behind_its_file_alone(path: str) -> None:
    assert split_argument(path) == (path, None)
    assert split_argument(f"{path}:base") == (path, "base")
