"""Sizes and costs against the table computed from the authors' models (multiply-adds at 16 x 224 x 224, 174
classes).
"""

import pytest

from motion_vit.models.inspection import inspect_model, measure_costs
from motion_vit.models.registry import create_model

# name: parameters, GMACs
PUBLISHED = {
    "uniformer_s": (21_284_462, 109.45),
    "uniformer_emim_s": (21_420_674, 85.15),
    "uniformer_b": (49_697_262, 258.25),
    "uniformer_emim_b": (50_014_992, 197.97),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_equal_the_published_ones(name):
    costs = measure_costs(create_model(name, num_classes=174)).values()
    parameters, gmacs = PUBLISHED[name]
    assert sum(cost.parameters for cost in costs) == parameters
    assert sum(cost.multiply_adds for cost in costs) / 1e9 == pytest.approx(gmacs, rel=0.005)


def test_the_table_names_every_part_and_the_total():
    lines = inspect_model("uniformer_tiny", {"num_classes": 3}).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        *("patch_embed1", "stage1", "patch_embed2", "stage2", "patch_embed3", "stage3", "patch_embed4", "stage4"),
        *("norm", "head", "total"),
    ]
    assert "3 classes" in lines[0]
    assert "16 x 4 x 4 x 96" in lines[7]


def test_activation_memory_of_convolutions_halves_in_bfloat16():
    float32, bfloat16 = (
        measure_costs(create_model("uniformer_emim_tiny", dtype=dtype))["stage1"].activation_bytes
        for dtype in ("float32", "bfloat16")
    )
    assert bfloat16 * 2 == float32
