import json

import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.recipe.checks import build_model, validate
from motion_vit.training.recipe.config import config_from_dict, set_field, to_json


def test_a_usable_recipe_passes(tiny_config: ConfigDict) -> None:
    validate(tiny_config)


@pytest.mark.parametrize(
    ("parent", "field", "value"),
    [
        ("", "batch_size", 0),
        ("", "epochs", float("inf")),
        ("loss", "label_smoothing", 1.0),
        ("data", "sampling", "all"),
        ("augmentation", "crop_scale", (0.5, 1.5)),
        ("augmentation", "crop_ratio", (2.0, 1.0)),
        ("data", "mean", (0.5, 0.5)),
        ("data", "std", (0.5, 0.0, 0.5)),
        ("optimizer", "learning_rate", -1.0),
        ("optimizer", "betas", (0.9, 1.0)),
        ("optimizer", "decay_mask", (("bias", "no"),)),
        ("optimizer", "warmup_start", 1.0),
        ("optimizer", "warmup_epochs", 100.0),
        ("evaluation", "crops", 2),
        ("checkpoint", "keep", 0),
        ("", "accumulation", 0),
        ("", "remat", "everything"),
        ("", "ema", ((".*", 1.0),)),
        ("", "sharding_rules", ((".*", "data"),)),
        ("", "sharding_rules", ((".*", ("fsdp", 1)),)),
        ("mesh", "data", 0),
        ("optimizer", "layer_decay", 0.0),
        ("optimizer", "learning_rate_multipliers", ((".*", -1.0),)),
        ("optimizer", "frozen", (("stem/.*",),)),
    ],
)
def test_a_value_out_of_range_is_named(tiny_config: ConfigDict, parent: str, field: str, value: object) -> None:
    name = f"{parent}.{field}" if parent else field
    (tiny_config[parent] if parent else tiny_config)[field] = value
    with pytest.raises(UserError, match=f"config field {name} is .* but must be"):
        validate(tiny_config)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("windw", 5, "Did you mean 'window'"),
        ("window", 4, "must be an odd whole number"),
        ("frames", 16, r"is set by data\.frames"),
        ("remat", "blocks", "is set by remat"),
        ("frame_axis", "frames", r"is set by mesh\.frames"),
        ("widths", (8, 8, 16, 17), "head_channels"),
    ],
)
def test_options_of_the_model_are_checked_before_anything_is_built(
    tiny_config: ConfigDict, option: str, value: object, message: str
) -> None:
    tiny_config.model.options[option] = value
    with pytest.raises(UserError, match=message):
        validate(tiny_config)


def test_clips_that_the_model_cannot_take_are_refused(tiny_config: ConfigDict) -> None:
    tiny_config.data.frames = 1
    with pytest.raises(UserError, match=r"cannot take clips of 1 frame.*neighbour"):
        validate(tiny_config)


def test_the_number_of_classes_is_that_of_the_list(tiny_config: ConfigDict) -> None:
    assert build_model(tiny_config, 7).model.num_classes == 7
    tiny_config.model.options.num_classes = 3
    with pytest.raises(UserError, match=r"num_classes is 3, but the list file has 7 classes"):
        build_model(tiny_config, 7)


def test_a_mesh_has_one_free_axis_and_splits_frames_evenly(tiny_config: ConfigDict) -> None:
    tiny_config.mesh.update({"data": 2, "fsdp": -1, "frames": 2})
    validate(tiny_config)
    tiny_config.mesh.data = -1
    with pytest.raises(UserError, match=r"config field mesh is .* at most one of its axes can be -1"):
        validate(tiny_config)
    tiny_config.mesh.update({"data": 1, "fsdp": 1, "frames": 3})
    with pytest.raises(UserError, match=r"mesh.frames is 3, but must divide .*data.frames = 4"):
        validate(tiny_config)


def test_rules_survive_a_recipe_in_json(tiny_config: ConfigDict) -> None:
    tiny_config.sharding_rules = (("head/kernel", ("fsdp", None)), (".*", "replicated"))
    tiny_config.ema = ((".*", 0.99),)
    again = config_from_dict(json.loads(to_json(tiny_config)))
    validate(again)
    assert [(pattern, layout) for pattern, layout in again.sharding_rules][1] == (".*", "replicated")


def test_remat_and_scan_are_handed_to_the_model(tiny_config: ConfigDict) -> None:
    tiny_config.remat, tiny_config.scan_blocks = "blocks", True
    model = build_model(tiny_config, 7).model
    assert (model.remat, model.scan_blocks) == ("blocks", True)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scan_blocks", True, "config field scan_blocks is True, which the model 'small' cannot do. Set it to False"),
        ("remat", "blocks", "config field remat is 'blocks', which the model 'small' cannot do. Set it to 'none'"),
    ],
)
@pytest.mark.parametrize("adapter", ["none", "motion_prompt"])
def test_what_a_model_cannot_do_is_said_of_the_field_that_asks_for_it(
    small_config: ConfigDict, field: str, value: object, message: str, adapter: str
) -> None:
    small_config.model.options.input_adapter = adapter
    validate(small_config)
    small_config[field] = value
    with pytest.raises(UserError, match=message):
        validate(small_config)


@pytest.mark.parametrize("field", ["batch_size", "epochs", "optimizer.betas", "data.mean", "mesh.data", "loss.name"])
def test_none_is_no_value_of_a_field(field: str, tiny_config: ConfigDict) -> None:
    with pytest.raises(UserError, match=rf"config field {field} is None"):
        set_field(tiny_config, field, None)
    parent, _, name = field.rpartition(".")
    setattr(tiny_config[parent] if parent else tiny_config, name, None)
    with pytest.raises(UserError, match=rf"config field {field} is None"):
        validate(tiny_config)
