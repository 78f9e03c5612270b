import dataclasses

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from motion_vit import UserError
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.sharding import SMALLEST_SPLIT, Layout, parameter_sharding, state_sharding
from motion_vit.training.step.sharding_table import sharding_table
from motion_vit.training.step.state import TrainState, initial_state

PARAMS = {
    "stem": {"kernel": np.ones((3, 64, 256), np.float32), "bias": np.ones(SMALLEST_SPLIT // 2, np.float32)},
    "head": {"kernel": np.ones((256, 130), np.float32), "bias": np.ones(130, np.float32)},
}
BY_RULE = ((r".*", "fsdp"),)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return meshes.make_mesh(data=2, fsdp=4)


def make_state(optimizer: optax.GradientTransformation) -> TrainState:
    variables = {"params": PARAMS, "batch_stats": {"mean": np.zeros(2**16, np.float32)}}
    make = jax.jit(lambda variables, key: initial_state(variables, optimizer, key, averaged=True))
    return make(variables, jax.random.key(0))


def specs(rules: tuple[tuple[str, Layout], ...], mesh: Mesh) -> dict[str, dict[str, PartitionSpec]]:
    return jax.tree.map(lambda sharding: sharding.spec, parameter_sharding(PARAMS, rules, mesh))


def test_fsdp_splits_the_longest_dimension_that_the_devices_divide_of_large_parameters(mesh: Mesh) -> None:
    found = specs(BY_RULE, mesh)
    assert found["stem"]["kernel"] == PartitionSpec(None, None, "fsdp")
    assert found["head"]["kernel"] == PartitionSpec("fsdp")
    assert found["stem"]["bias"] == found["head"]["bias"] == PartitionSpec()
    # Three devices divide only the first dimension of the stem, and nothing of the head.
    three = meshes.make_mesh(data=2, fsdp=3, devices=jax.devices()[:6])
    assert specs(BY_RULE, three)["stem"]["kernel"] == PartitionSpec("fsdp")
    assert specs(BY_RULE, three)["head"]["kernel"] == PartitionSpec()


def test_the_first_rule_decides_and_what_no_rule_names_is_whole(mesh: Mesh) -> None:
    rules = (("stem/kernel", (None, "data", "fsdp")), ("stem/.*", "replicated"), ("stem/bias", ("fsdp",)))
    found = specs(rules, mesh)
    assert found["stem"]["kernel"] == PartitionSpec(None, "data", "fsdp")
    assert found["stem"]["bias"] == found["head"]["kernel"] == found["head"]["bias"] == PartitionSpec()


@pytest.mark.parametrize(
    ("pattern", "layout", "message"),
    [
        (
            "head/kernel",
            ("model", None),
            r"head/kernel of shape \(256, 130\) names the axis 'model'.*data, fsdp, frames",
        ),
        ("head/kernel", ("fsdp", "fsdp"), "names an axis twice"),
        ("head/kernel", ("fsdp",), "has 1 entries. Give an axis or None for each of the 2 dimensions"),
        ("head/kernel", (None, "fsdp"), "splits a dimension of 130 over the 4 devices of the axis 'fsdp'"),
        ("head", "fsdp", r"sharding_rules: the pattern 'head' matches no parameter.*head/kernel"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(mesh: Mesh, pattern: str, layout: Layout, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parameter_sharding(PARAMS, ((pattern, layout),), mesh)


def test_moments_and_averages_lie_where_their_parameter_does(mesh: Mesh) -> None:
    frozen = {"stem": {"kernel": False, "bias": True}, "head": {"kernel": True, "bias": False}}
    optimizer = optax.selective_transform(optax.adamw(1e-3), freeze_mask=frozen)
    state = make_state(optimizer)
    sharding = state_sharding(state, optimizer, BY_RULE, mesh)
    assert jax.tree.structure(sharding) == jax.tree.structure(state)
    assert sharding.ema == sharding.params
    placed = jax.device_put(state, sharding)
    share = PARAMS["stem"]["kernel"].nbytes // 4
    kept = [placed.params["stem"]["kernel"], placed.ema["stem"]["kernel"]]
    kept += [optax.tree.get(placed.opt_state, name)["stem"]["kernel"] for name in ("mu", "nu")]
    for leaf in kept:
        assert [part.data.nbytes for part in leaf.addressable_shards] == [share] * 8
    others = (placed.batch_stats["mean"], optax.tree.get(placed.opt_state, "count"), placed.step, placed.key)
    assert all(leaf.is_fully_replicated for leaf in others)


def test_the_table_adds_up_what_a_device_holds(mesh: Mesh) -> None:
    optimizer = optax.adam(1e-3)
    state = make_state(optimizer)
    rules = (("stem/.*", "fsdp"), ("head/kernel", (None, "data")))
    state = jax.device_put(state, state_sharding(state, optimizer, rules, mesh))
    lines = [" ".join(line.split()) for line in sharding_table(state, optimizer, rules).splitlines()]
    assert lines[1:-1] == [
        "stem/.* fsdp (dimension 2) 1 49,152 0.05 0.10 0.05",  # 4 bytes each on 4 devices
        "stem/.* nothing 1 8,192 0.03 0.07 0.03",
        "head/kernel data (dimension 1) 1 33,280 0.07 0.13 0.07",
        "(no pattern) nothing 1 130 0.00 0.00 0.00",
        "total 4 90,754 0.15 0.30 0.15",
    ]
    arrays = jax.tree.leaves(dataclasses.replace(state, key=jax.random.key_data(state.key)))
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in arrays)
    assert lines[-1].startswith(f"each device holds {held / 1e6:.2f} MB")
