"""The layers, made for Flax Linen, in Flax NNX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motion_vit import M2A, Emim, MotionPrompt

X = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 8, 8, 16), np.float32))


def bridged_to_nnx(layer, x, **streams):
    """The layer with its parameters, in one program, which compiles faster than each of its operations by itself."""
    return nnx.jit(lambda x: nnx.bridge.ToNNX(layer, rngs=nnx.Rngs(0, **streams)).lazy_init(x))(x)


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize(
    "layer", [Emim(heads=2, window=3), M2A(), M2A("tdn", "tam")], ids=["emim", "m2a", "tdn with tam"]
)
def test_a_layer_gives_in_nnx_what_it_gives_in_linen(layer):
    bridged = bridged_to_nnx(layer, X)
    collections = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
    variables = {name: nnx.to_pure_dict(nnx.state(bridged, kind)) for name, kind in collections.items()}
    np.testing.assert_allclose(
        nnx.jit(lambda layer, x: layer(x))(bridged, X), jax.jit(layer.apply)(variables, X), rtol=1e-6, atol=1e-6
    )


def test_every_parameter_of_a_layer_is_trained_in_nnx():
    layer = bridged_to_nnx(Emim(heads=2, window=3), X)
    gradients = nnx.jit(nnx.grad(lambda layer: jnp.square(layer(X)).sum()))(layer)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(gradients))
    assert len(leaves) == 9
    # The motion branch starts with its last layer at zero, so that its first one has no gradient yet.
    silent = {jax.tree_util.keystr(path) for path, leaf in leaves if not np.asarray(leaf).any()}
    assert silent == {"['motion']['fc1']['kernel']", "['motion']['fc1']['bias']"}


def test_motion_prompts_work_in_nnx():
    clips = np.random.default_rng(0).standard_normal((1, 5, 8, 8, 3), np.float32)
    assert nnx.jit(lambda layer, x: layer(x))(bridged_to_nnx(MotionPrompt(), clips), clips).shape == (1, 4, 8, 8, 3)


@pytest.mark.fast_cases("emim", "m2a")
@pytest.mark.parametrize("layer", [Emim(heads=2, window=3, dropout=0.5), M2A("tea"), M2A()], ids=["emim", "tea", "m2a"])
def test_one_call_trains_every_layer_in_nnx(layer):
    bridged = bridged_to_nnx(layer, X, dropout=1)
    before = jax.tree.leaves(nnx.to_pure_dict(nnx.state(bridged, nnx.BatchStat)))
    train = nnx.jit(lambda layer, rngs, x: layer(x, train=True, mutable=["batch_stats"], rngs=rngs))
    assert train(bridged, nnx.Rngs(dropout=1), X).shape == X.shape
    after = jax.tree.leaves(nnx.to_pure_dict(nnx.state(bridged, nnx.BatchStat)))
    assert bool(before) == (getattr(layer, "motion", None) == "tea")
    assert all((old != new).any() for old, new in zip(before, after, strict=True))
