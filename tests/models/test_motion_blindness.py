"""A model whose cost volumes have too few patches says so before it is trained."""

from typing import Any

import pytest

import motion_vit
from motion_vit.models.inspection import inspect_model
from motion_vit.models.motion_blindness import describe_motion_blindness


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("uniformer_emim_tiny", {"image_size": 48}, ["stage4 on 1 x 1"]),
        ("uniformer_emim_tiny", {"image_size": 32}, ["stage3 on 2 x 2", "stage4 on 1 x 1"]),
        ("uniformer_emim_tiny", {"image_size": 48, "placement": "stage4"}, ["stage4 on 1 x 1"]),
        ("uniformer_emim_tiny", {"image_size": 48, "input_adapter": "motion_prompt"}, ["backbone/stage4 on 1 x 1"]),
        ("timesformer_tiny", {"image_size": 32, "temporal_attention": "cost_volume"}, ["blocks on 2 x 2"]),
    ],
)
def test_grids_of_fewer_than_three_patches_a_side_are_named(
    name: str, options: dict[str, Any], named: list[str]
) -> None:
    warning = describe_motion_blindness(motion_vit.create_model(name, **options))
    assert ", ".join(named) in warning
    assert "larger frames or smaller patches" in warning


def test_the_warning_ends_the_table_of_inspect() -> None:
    model = motion_vit.create_model("timesformer_tiny", image_size=32, temporal_attention="cost_volume")
    table = inspect_model("timesformer_tiny", {"image_size": 32, "temporal_attention": "cost_volume"})
    assert table.splitlines()[-1] == describe_motion_blindness(model)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniformer_emim_tiny", {"image_size": 48, "patch_sizes": (4, 2, 1, 2)}),
        ("uniformer_emim_tiny", {"image_size": 48, "placement": "stage3"}),
        ("uniformer_emim_tiny", {"image_size": 48, "placement": "gl", "depths": (1, 1, 2, 1)}),
        ("uniformer_tiny", {"image_size": 48}),
        ("uniformer_emim_s", {}),
        ("timesformer_tiny", {"image_size": 48, "temporal_attention": "cost_volume"}),
        ("timesformer_tiny", {"image_size": 32}),
        ("resnet18_tiny", {"motion_module": "m2a"}),
        ("resnet18_tiny", {"input_adapter": "motion_prompt"}),
        ("slowfast_tiny", {}),
        ("i3d_inception_tiny", {}),
        ("x3d_tiny", {}),
        ("mobilenetv2_tiny", {}),
        ("i3d_resnet18_tiny", {}),
    ],
)
def test_other_models_are_given_no_warning(name: str, options: dict[str, Any]) -> None:
    assert describe_motion_blindness(motion_vit.create_model(name, **options)) == ""
