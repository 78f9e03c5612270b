"""Sizes and costs against the table computed from the authors' models (multiply-adds at 16 x 224 x 224, 174
classes).
"""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from motion_vit.models.checked_model import trace_model
from motion_vit.models.inspection import inspect_model, measure_costs
from motion_vit.models.part_costs import OTHER
from motion_vit.models.registry import create_model, list_models, register_model
from motion_vit.models.video_model import Backbone

# name: parameters, GMACs
PUBLISHED = {
    "uniformer_s": (21_284_462, 109.45),
    "uniformer_emim_s": (21_420_674, 85.15),
    "uniformer_b": (49_697_262, 258.25),
    "uniformer_emim_b": (50_014_992, 197.97),
}


@pytest.mark.fast_cases("uniformer_emim_s")
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
        measure_costs(create_model("uniformer_emim_tiny", dtype=dtype, depths=(1, 1, 1, 1)))["stage1"].activation_bytes
        for dtype in ("float32", "bfloat16")
    )
    assert bfloat16 * 2 == float32


class Recurrent(Backbone):
    """A convolution, a cell that returns two things, and parameters of the model itself."""

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        features = nn.Conv(8, (4, 4), (4, 4), name="convolution")(clips).mean(axis=(2, 3))
        features = features + self.param("position", nn.initializers.zeros, (1000,))[None, None, :8]
        cell = nn.GRUCell(16, name="cell")
        carry = jnp.zeros((len(clips), 16))
        carry, _ = cell(carry, features[:, 0])
        return nn.DenseGeneral(self.num_classes, name="head")(carry)


def test_an_outside_model_is_counted_as_a_whole() -> None:
    register_model("recurrent", Recurrent)
    model = create_model("recurrent", num_classes=3, frames=2, image_size=16)
    traced = trace_model(model)
    costs = traced.costs
    total = sum(leaf.size for leaf in jax.tree.leaves(traced.shapes["params"]))
    assert sum(cost.parameters for cost in costs.values()) == total
    assert (list(costs), costs[OTHER].parameters) == (["convolution", "cell", "head", OTHER], 1000)
    assert costs["convolution"].multiply_adds == (2 * 4 * 4 * 8) * (4 * 4 * 3)
    assert costs["cell"].multiply_adds == 3 * 16 * 8 + 3 * 16 * 16
    assert costs["head"].multiply_adds == 3 * 16
    table = inspect_model("recurrent", {"num_classes": 3, "frames": 2, "image_size": 16})
    assert f"{total:,}" in next(line for line in table.splitlines() if line.startswith("total"))
    assert "Not counted in GMACs: what GRUCell multiply" in table


@pytest.mark.fast_cases("resnet18_tiny-none", "timesformer_tiny-none", "uniformer_emim_tiny-motion_prompt")
@pytest.mark.parametrize("adapter", ["none", "motion_prompt"])
@pytest.mark.parametrize("name", [name for name in list_models() if name.endswith("_tiny")])
def test_every_parameter_of_a_model_is_counted(name: str, adapter: str) -> None:
    traced = trace_model(create_model(name, frames=2, image_size=32, input_adapter=adapter))
    total = sum(leaf.size for leaf in jax.tree.leaves(traced.shapes["params"]))
    assert sum(cost.parameters for cost in traced.costs.values()) == total
    assert not any(cost.uncounted for cost in traced.costs.values())
