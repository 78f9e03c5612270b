"""Every field of a recipe is described: what it means, what it is by default and what it may be."""

import re

import pytest

from motion_vit import UserError
from motion_vit.training.recipe.config import default_config, flatten
from motion_vit.training.recipe.field_descriptions import describe_fields
from motion_vit.training.recipe.field_ranges import FIELD_RANGES
from motion_vit.training.recipe.fields import FIELDS


def test_every_field_has_a_meaning_a_default_and_a_range() -> None:
    described = {field.name: field for field in describe_fields()}
    assert described.keys() == flatten(default_config()).keys() == FIELD_RANGES.keys()
    for name, field in described.items():
        assert re.fullmatch(r"(?s)[A-Z0-9`].*\S[.]", field.meaning), name
        assert len(field.meaning.split()) >= 3, name
        assert field.meaning.count("`") % 2 == 0, name
        assert field.range == FIELD_RANGES[name].expectation
        assert field.default == repr(FIELDS[name].default)


def test_no_two_fields_mean_the_same() -> None:
    assert len({field.meaning for field in describe_fields()}) == len(describe_fields())


@pytest.mark.parametrize(
    "mentioned", [name for field in FIELDS.values() for name in re.findall(r"`([a-z_]+\.[a-z_.]+)", field.meaning)]
)
def test_a_field_that_a_meaning_names_exists(mentioned: str) -> None:
    name = mentioned.rstrip(".")
    assert name in FIELDS or name.startswith(("model.options.", "motion_vit."))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("seed", ["seed"]),
        ("mesh", ["mesh.data", "mesh.fsdp", "mesh.frames"]),
        ("*.clips", ["evaluation.clips"]),
        ("optimizer.muon.?atrices", ["optimizer.muon.matrices"]),
        ("warmup", ["optimizer.warmup_epochs", "optimizer.warmup_start", "unlabelled.warmup_epochs"]),
    ],
)
def test_fields_are_found_by_a_group_a_part_or_a_pattern(pattern: str, names: list[str]) -> None:
    assert [field.name for field in describe_fields(pattern)] == names


def test_a_pattern_that_finds_nothing_is_answered_with_a_field() -> None:
    with pytest.raises(UserError, match=r"'lr'\. Did you mean 'optimizer\.learning_rate'"):
        describe_fields("lr")


def test_changing_a_recipe_leaves_the_defaults_as_they_are() -> None:
    config = default_config()
    config.model.options.window = 5
    config.loss.options.gamma = 2.0
    assert FIELDS["model.options"].default == FIELDS["loss.options"].default == {}
    assert default_config().to_dict()["model"]["options"] == {}
