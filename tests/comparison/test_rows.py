import pathlib

import pytest

from motion_vit import UserError
from motion_vit.comparison.rows import load_rows

TEXT = """
from motion_vit.training.recipe.config import default_config

def recipe(**changes):
    config = default_config()
    config.data.train = "videos.csv"
    for name, value in changes.items():
        setattr(config, name, value)
    return config

def get_configs():
    fast = recipe()
    fast.optimizer.learning_rate = 1e-3
    fast.model.name = "resnet18_tsn"
    return {RECIPES}
"""


@pytest.fixture
def comparison(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "comparison.py"


def write(path: pathlib.Path, recipes: str) -> str:
    path.write_text(TEXT.replace("{RECIPES}", recipes), encoding="utf-8")
    return str(path)


def test_rows_keep_the_order_of_the_file_and_take_the_same_changes(comparison: pathlib.Path) -> None:
    path = write(comparison, '{"b": recipe(), "a": fast}')
    rows = load_rows(path, ["--config.epochs=3"])
    assert list(rows) == ["b", "a"]
    assert {config.epochs for config in rows.values()} == {3.0}
    assert list(load_rows(path, chosen=["a"])) == ["a"]


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ('{"a": recipe(), "b": recipe(batch_size=8)}', "'a' and 'b' cannot be compared: batch_size is 32 .* and 8 in"),
        ('{"a": recipe(), "b": recipe(epochs=8.0)}', "cannot be compared: epochs is"),
        ('{"a/b": recipe()}', "names a recipe 'a/b', but names are made of letters"),
        ("{}", "must return a mapping of names to recipes"),
        ("fast", "must return a mapping of names to recipes|names a recipe"),
        ('{"a": 3}', r"get_configs\(\)\['a'\] of .* returns int, but must return a ConfigDict"),
        ("1 / 0", "fails in line [0-9]+: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_compared_is_explained(comparison: pathlib.Path, recipes: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_rows(write(comparison, recipes))


def test_an_unknown_row_is_answered_with_the_known_ones(comparison: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"has no row 'c'. The rows are: a, b"):
        load_rows(write(comparison, '{"a": recipe(), "b": fast}'), chosen=["c"])
