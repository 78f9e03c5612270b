"""Grids of recipes: `compare --set FIELD=VALUES`, and a recipe alone with several seeds."""

import pathlib

import pytest

from motion_vit import UserError
from motion_vit.comparison.rows import load_rows
from motion_vit.comparison.sweep import Axis, parse_axis, sweep
from motion_vit.training.recipe.config import default_config

ONE = """
from motion_vit.training.recipe.config import default_config

def get_config(size="full"):
    config = default_config()
    config.data.train = "videos.csv"
    config.data.size = {"full": 64, "tiny": 32}[size]
    return config
"""


@pytest.fixture
def recipe(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "one.py"
    path.write_text(ONE, encoding="utf-8")
    return str(path)


def test_each_cell_of_a_grid_is_a_row_called_by_its_values(recipe: str) -> None:
    axes = [parse_axis("config.optimizer.learning_rate=1e-4,3e-4"), parse_axis("batch_size=8,16")]
    rows = load_rows(recipe, ["--config.epochs=3"], axes=axes)
    assert {name: (config.optimizer.learning_rate, config.batch_size) for name, config in rows.items()} == {
        "learning_rate=1e-4,batch_size=8": (1e-4, 8),
        "learning_rate=1e-4,batch_size=16": (1e-4, 16),
        "learning_rate=3e-4,batch_size=8": (3e-4, 8),
        "learning_rate=3e-4,batch_size=16": (3e-4, 16),
    }
    assert {config.epochs for config in rows.values()} == {3.0}


def test_a_recipe_alone_is_one_row(recipe: str) -> None:
    assert list(load_rows(recipe)) == ["one"]
    (name, config), *others = load_rows(f"{recipe}:tiny").items()
    assert (name, config.data.size, others) == ("tiny", 32, [])


def test_values_may_be_texts_tuples_and_options_of_the_model(recipe: str) -> None:
    axes = [
        parse_axis("config.optimizer.name=adamw, muon"),
        parse_axis("config.optimizer.betas=(0.9, 0.95),(0.9, 0.999)"),
        parse_axis("config.model.options.window=5,7"),
    ]
    rows = load_rows(recipe, axes=axes)
    assert len(rows) == 8
    names = list(rows)
    assert names[0] == "name=adamw,betas=_0.9_0.95_,window=5"
    last = rows[names[-1]]
    assert (last.optimizer.name, last.optimizer.betas, last.model.options.window) == ("muon", (0.9, 0.999), 7)


def test_several_recipes_make_a_grid_each_and_equal_ends_are_written_out() -> None:
    recipes = {"a": default_config(), "b": default_config()}
    grid = sweep(recipes, [Axis("evaluation.batch_size", ("4",)), Axis("batch_size", ("8", "16"))])
    assert next(iter(grid)) == "a,evaluation.batch_size=4,batch_size=8"
    assert len(grid) == 4
    assert recipes["a"].batch_size == default_config().batch_size


def test_values_that_make_the_same_name_stay_apart() -> None:
    grid = sweep({"a": default_config()}, [Axis("initial_weights", ("x/y", "x:y"))])
    assert {name: config.initial_weights for name, config in grid.items()} == {
        "initial_weights=x_y": "x/y",
        "initial_weights=x_y-2": "x:y",
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["config.optimizer.lr=1,2"], r"Did you mean 'optimizer\.learning_rate'"),
        (["batch_size"], r"'batch_size' is no axis of a grid: give a field and its values"),
        (["batch_size=8,,16"], "is no axis of a grid"),
        (["=8"], "is no axis of a grid"),
        (["batch_size=8,8"], "the field batch_size is given the value '8' twice"),
        (["batch_size=8", "batch_size=16"], "the field batch_size is given twice"),
        (["batch_size=8,many"], "must be of type int"),
        (["seed=1,2"], "the field seed cannot be swept: --seeds N"),
        (["config.data.train=a.csv,b.csv"], "cannot be swept: `motion-vit transfer` takes several sets"),
        (["epochs=" + ",".join(map(str, range(1, 1002)))], "the grid has 1001 cells, but at most 1000"),
    ],
)
def test_what_is_no_grid_is_refused(texts: list[str], message: str, recipe: str) -> None:
    with pytest.raises(UserError, match=message):
        load_rows(recipe, axes=[parse_axis(text) for text in texts])


def test_what_is_not_swept_must_be_the_same(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "two.py"
    path.write_text(
        ONE + "\ndef get_configs():\n    other = get_config('tiny')\n    return {'a': get_config(), 'b': other}\n",
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"cannot be compared: data.size is 64 in one and 32"):
        load_rows(str(path), axes=[parse_axis("batch_size=8,16")])
    assert len(load_rows(str(path), axes=[parse_axis("data.size=32")])) == 2
