"""Motion modules inside UniFormer, a combination that has no golden."""

import functools

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.registry import torch_entries

# Of 32 x 32 pixels a single token would be left in stage 4, and gradients behind its normalisations would depend on the
# last bits of pixels.
CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 64, 64, 3)).astype(np.float32))


def build(**options):
    smallest = {
        "widths": (8, 8, 16, 16),
        "depths": (1, 1, 2, 1),
        "head_channels": 8,
        "num_classes": 5,
        "window": 3,
        "placement": "ll",
        "motion_module": "m2a",
        "depthwise_implementation": "xla_conv",  # compiles fastest
    }
    return motion_vit.create_model("uniformer_emim_tiny", **smallest | options)


def draw(rng, path, leaf):
    """Draws weights of the size that they have at the start, of which gradients do not hang on the last bits."""
    scales = path[-1].key in ("scale", "var")
    fan_in = leaf.size // leaf.shape[-1]
    return np.asarray(scales + rng.normal(0.0, 0.1 if scales else fan_in**-0.5, leaf.shape), np.float32)


@functools.cache
def gradients(**options):
    model = build(**options)
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    rng = np.random.default_rng(1)
    variables = jax.device_put(jax.tree_util.tree_map_with_path(functools.partial(draw, rng), shapes))

    @jax.jit
    def step(params):
        def loss(params):
            logits, _ = model.apply({**variables, "params": params}, CLIPS, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2)

        return jax.grad(loss)(params)

    return traverse_util.flatten_dict(step(variables["params"]), sep="/")


@pytest.mark.slow
def test_every_block_has_the_module_and_every_parameter_a_gradient():
    found = gradients()
    assert {path.rpartition("/motion/down/")[0] for path in found if path.endswith("motion/down/kernel")} == {
        *(f"stage{stage}/block0" for stage in (1, 2, 3, 4)),
        "stage3/block1",
    }
    assert all(np.abs(gradient).max() > 0 for gradient in found.values())


@pytest.mark.slow
def test_a_compiled_loop_over_rematerialised_blocks_gives_the_same_gradients():
    largest = max(np.abs(gradient).max() for gradient in gradients().values())
    for path, gradient in gradients(scan_blocks=True, remat="blocks").items():
        np.testing.assert_allclose(gradient, gradients()[path], rtol=1e-3, atol=1e-5 * largest, err_msg=path)


@pytest.mark.parametrize("kind", ["none", "m2a"])
def test_a_module_adds_names_to_the_published_ones_and_none_adds_nothing(kind):
    model = motion_vit.create_model("uniformer_emim_tiny", motion_module=kind)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *model.clip_shape), np.float32))
    published = goldens.state_dict("uniformer_emim_tiny")
    entries = torch_entries(model, traverse_util.flatten_dict(shapes, sep="/"))
    added = {entry.name for entry in entries.values()} - published.keys()
    missing = published.keys() - {entry.name for entry in entries.values()}
    assert all(name.endswith(".num_batches_tracked") for name in missing)
    assert len(added) == (0 if kind == "none" else 6 * 4)
    assert all(".motion." in name for name in added)


@pytest.mark.mistyped
def test_an_unknown_module_is_named():
    with pytest.raises(motion_vit.UserError, match="motion_module is 'flow', but must be one of none, m2a"):
        build(motion_module="flow")
