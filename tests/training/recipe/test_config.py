import json
import pathlib

import pytest

from motion_vit import UserError
from motion_vit.training.recipe.config import config_from_dict, default_config, differing_fields, to_json
from motion_vit.training.recipe.file import load_config

RECIPE = """
from motion_vit.training.recipe.config import default_config

def get_config():
    config = default_config()
    config.batch_size = 7
    config.model.options.window = 5
    return config
"""


@pytest.fixture
def recipe(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return str(path)


def recipe_with(tmp_path: pathlib.Path, line: str) -> str:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE.replace("    return", f"    {line}\n    return"))
    return str(path)


def test_fields_are_changed_on_the_command_line(recipe: str) -> None:
    overrides = [
        "--config.optimizer.learning_rate=1e-3",
        "--config.epochs=3",
        "--config.name=2024",
        "--config.model.options.layer_scale=true",
        "--config.augmentation.crop_scale=(0.5, 1)",
        "--config.model.options.placement=gl",
        "--config.model.options.window=9",
    ]
    config = load_config(recipe, overrides)
    assert config.batch_size == 7
    assert config.optimizer.learning_rate == 1e-3
    assert config.epochs == 3.0
    assert config.name == "2024"
    assert config.model.options.layer_scale is True
    assert config.augmentation.crop_scale == (0.5, 1)
    assert config.model.options.to_dict() == {"layer_scale": True, "placement": "gl", "window": 9}


def test_an_unknown_field_names_the_nearest_one(recipe: str) -> None:
    with pytest.raises(UserError, match=r"'optimizer.learnin_rate'.*Did you mean 'optimizer.learning_rate'"):
        load_config(recipe, ["--config.optimizer.learnin_rate=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.epochs=many", r"epochs is 'many' \(str\), but must be of type float"),
        ("--config.batch_size=2.5", r"batch_size is 2.5 \(float\), but must be of type int"),
        ("--config.seed=True", r"seed is True \(bool\), but must be of type int"),
        ("--config.data.mean=3", r"data.mean is 3 \(int\), but must be of type tuple"),
        ("--config.optimizer=3", "unknown config field 'optimizer'"),
        ("--config.model.options=3", "must be a mapping"),
        ("--config.model.options={1: 2}", "is {1: 2}, but must be a mapping of at most 100 option names"),
        ("--config.loss.options={None: 2}", "is {None: 2}, but must be a mapping of at most 100 option names"),
        ("--config.epochs", "a field is changed as --config.key=value"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(recipe: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(recipe, [override])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("config.batchsize = 3", 'Key "batchsize" does not exist'),
        ("config.epochs = 'many'", "Could not override field 'epochs'"),
        ("config = 3", "returns int, but must return a ConfigDict"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_in_one_line_with_its_file(
    tmp_path: pathlib.Path, line: str, message: str
) -> None:
    path = recipe_with(tmp_path, line)
    with pytest.raises(UserError, match=message) as raised:
        load_config(path)
    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_without_a_recipe_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="defines no function get_config"):
        load_config(str(tmp_path / "empty.py"))
    with pytest.raises(UserError, match="there is no config file"):
        load_config(str(tmp_path / "absent.py"))


def test_a_recipe_survives_json(recipe: str) -> None:
    config = load_config(recipe, ["--config.model.options.widths=(8, 8, 16, 16)", "--config.data.mean=(0, 0, 0)"])
    again = config_from_dict(json.loads(to_json(config)))
    assert not differing_fields(config, again)
    assert again.data.mean == (0, 0, 0)
    assert again.batch_size == 7


def test_only_fields_that_training_depends_on_count_as_differences() -> None:
    old, new = default_config(), default_config()
    new.log.every_steps = 3
    new.evaluation.crops = 3
    new.data.workers = 9
    new.mesh.fsdp = 4
    new.sharding_rules = ()
    new.remat = "blocks"
    assert differing_fields(old, new) == {}
    new.optimizer.eps = 1e-3
    new.model.options.window = 5
    assert differing_fields(old, new) == {"model.options": ({}, {"window": 5}), "optimizer.eps": (1e-8, 1e-3)}
