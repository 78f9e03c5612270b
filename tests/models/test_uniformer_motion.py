"""Motion modules inside UniFormer, a combination that has no golden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit

CLIPS = np.random.default_rng(0).standard_normal((2, 4, 32, 32, 3)).astype(np.float32)


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


@functools.cache
def gradients(**options):
    model = build(**options)
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: rng.normal(0.1, 0.3, leaf.shape).astype(np.float32), shapes)

    @jax.jit
    def step(params):
        def loss(params):
            logits, _ = model.apply({**variables, "params": params}, CLIPS, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2)

        return jax.grad(loss)(params)

    return traverse_util.flatten_dict(step(variables["params"]), sep="/")


def test_every_block_has_the_module_and_every_parameter_a_gradient():
    found = gradients()
    assert {path.rpartition("/motion/down/")[0] for path in found if path.endswith("motion/down/kernel")} == {
        *(f"stage{stage}/block0" for stage in (1, 2, 3, 4)),
        "stage3/block1",
    }
    assert all(np.abs(gradient).max() > 0 for gradient in found.values())


def test_a_compiled_loop_over_rematerialised_blocks_gives_the_same_gradients():
    largest = max(np.abs(gradient).max() for gradient in gradients().values())
    for path, gradient in gradients(scan_blocks=True, remat="blocks").items():
        np.testing.assert_allclose(gradient, gradients()[path], rtol=1e-3, atol=1e-5 * largest, err_msg=path)


def test_without_a_module_the_parameters_are_the_published_ones():
    with_module, without = (
        set(
            traverse_util.flatten_dict(
                jax.eval_shape(build(motion_module=kind).init, jax.random.key(0), CLIPS), sep="/"
            )
        )
        for kind in ("m2a", "none")
    )
    assert without == {path for path in with_module if "/block0/motion/" not in path and "/block1/motion/" not in path}


def test_an_unknown_module_is_named():
    with pytest.raises(motion_vit.UserError, match="motion_module is 'flow', but must be one of none, m2a"):
        build(motion_module="flow")
