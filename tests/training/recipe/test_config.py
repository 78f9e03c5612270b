import json
import pathlib

import pytest

from motion_vit import UserError
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import (
    config_from_dict,
    default_config,
    differing_fields,
    flatten,
    to_json,
)
from motion_vit.training.recipe.field_synonyms import SYNONYMS, field_meant
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


def test_a_mapping_takes_the_place_of_notes_that_are_a_text(tmp_path: pathlib.Path) -> None:
    path = recipe_with(tmp_path, "config.notes = 'why'")
    assert load_config(path, ["--config.notes={'a': 1}"]).to_dict()["notes"] == {"a": 1}
    assert load_config(path, ["--config.notes=2024"]).notes == "2024"


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
        ("config.batchsize = 3", "unknown config field 'batchsize'. Did you mean 'batch_size'"),
        ("config.optimizer.lr = 3", "unknown config field 'optimizer.lr'. Did you mean 'optimizer.learning_rate'"),
        ("config['optimizer']['muon']['momentun'] = 3", "'optimizer.muon.momentun'. Did you mean 'optimizer.muon.mom"),
        ("config.update({'wd': 3})", "unknown config field 'wd'. Did you mean 'optimizer.weight_decay'"),
        ("config.evaluation.update(bs=3)", "'evaluation.bs'. Did you mean 'evaluation.batch_size'"),
        ("config.epochs = 2 * config.data.epoch", "unknown config field 'data.epoch'. Did you mean 'epochs'"),
        ("config.unlock(); config.num_frames = 3", "unknown config field 'num_frames'. Did you mean 'data.frames'"),
        ("config.mesh.quux = 3", "unknown config field 'mesh.quux'. The fields are: accumulation, "),
        ("config.model.options.depth + 1", "AttributeError: .*depth"),
        ("{'a': 1}['lr']", "fails in line [0-9]+: KeyError: lr"),
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\n1 / 0\n", 3),
        ("def get_config():\n    return 1 / 0\n", 2),
        ("\ndef get_config(:\n", 2),
        ("import json\n\njson.loads('{')\n", 3),
        ("def deeper():\n    return {}['a']\n\n\ndef get_config():\n    return deeper()\n", 2),
        ("import broken_neighbour\n", 1),
    ],
)
def test_the_line_of_a_recipe_that_fails_is_told(tmp_path: pathlib.Path, text: str, line: int) -> None:
    (tmp_path / "broken_neighbour.py").write_text("\n\n\n)\n")
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(UserError, match=f"the config file .*broken.py fails in line {line}: "):
        load_config(str(tmp_path / "broken.py"))


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


@pytest.mark.parametrize(
    ("line", "notes"),
    [
        ("config.notes = 'tried before'", "tried before"),
        ("config.notes = {'why': {'a': [1, 2.5, None]}}", {"why": {"a": [1, 2.5, None]}}),
        ("config.notes = {}; config.notes.why = 'x'", {"why": "x"}),
    ],
)
def test_notes_are_kept_as_they_are_written_and_make_no_difference(
    tmp_path: pathlib.Path, line: str, notes: object
) -> None:
    config = load_config(recipe_with(tmp_path, line))
    validate_fields(config)
    again = config_from_dict(json.loads(to_json(config)))
    assert again.to_dict()["notes"] == notes
    assert differing_fields(default_config(), again) == differing_fields(
        default_config(), load_config(str(tmp_path / "recipe.py"), ["--config.notes=others"])
    )


def test_notes_are_changed_on_the_command_line(recipe: str) -> None:
    assert load_config(recipe, ["--config.notes=12, as before"]).notes == "12, as before"
    overrides = ["--config.notes={'try': 3}", "--config.notes.why.first=lower rate", "--config.notes.why.second=4"]
    assert load_config(recipe, overrides).to_dict()["notes"] == {
        "try": 3,
        "why": {"first": "lower rate", "second": 4},
    }
    with pytest.raises(UserError, match=r"notes\.why cannot be set, because notes is a text: 'text'"):
        load_config(recipe, ["--config.notes=text", "--config.notes.why=x"])


def test_what_json_cannot_hold_is_no_note() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    for value in (3, [1], {1: 2}, {"x": {1: 2}}, {"x": object()}, {"x": float("nan")}, endless, {"x": [0] * 10**6}):
        with pytest.raises(UserError, match=r"config field notes is .*, but must be a text .* or a mapping"):
            config_from_dict({"notes": value})


@pytest.mark.parametrize(("name", "field"), SYNONYMS.items())
def test_a_name_of_other_libraries_leads_to_its_field(name: str, field: str) -> None:
    known = flatten(default_config())
    assert field in known or field.startswith("model.options.")
    assert name not in known
    assert field_meant(name, known) == field


def test_a_field_is_found_by_its_last_word_with_a_letter_wrong() -> None:
    known = flatten(default_config())
    for name in known:
        *groups, word = name.split(".")
        if len(word) > 4 and word not in SYNONYMS:
            misspelt = ".".join([*groups, word[:-2] + word[-1]])
            assert field_meant(misspelt, known) == name, misspelt
