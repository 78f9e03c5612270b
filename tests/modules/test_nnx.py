"""The layers, made for Flax Linen, in Flax NNX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motion_vit import M2A, Emim, MotionPrompt


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize(
    "layer", [Emim(heads=2, window=3), M2A(), M2A("tdn", "tam")], ids=["emim", "m2a", "tdn with tam"]
)
def test_a_layer_gives_in_nnx_what_it_gives_in_linen(layer):
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 16))
    bridged = nnx.bridge.ToNNX(layer, rngs=nnx.Rngs(0)).lazy_init(x)
    collections = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
    variables = {name: nnx.to_pure_dict(nnx.state(bridged, kind)) for name, kind in collections.items()}
    np.testing.assert_allclose(
        nnx.jit(lambda layer, x: layer(x))(bridged, x), jax.jit(layer.apply)(variables, x), rtol=1e-6, atol=1e-6
    )


def test_every_parameter_of_a_layer_is_trained_in_nnx():
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 16))
    layer = nnx.bridge.ToNNX(Emim(heads=2, window=3), rngs=nnx.Rngs(0)).lazy_init(x)
    gradients = nnx.jit(nnx.grad(lambda layer: jnp.square(layer(x)).sum()))(layer)
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(gradients))
    assert len(leaves) == 9
    # The motion branch starts with its last layer at zero, so that its first one has no gradient yet.
    silent = {jax.tree_util.keystr(path) for path, leaf in leaves if not np.asarray(leaf).any()}
    assert silent == {"['motion']['fc1']['kernel']", "['motion']['fc1']['bias']"}


def test_motion_prompts_work_in_nnx():
    clips = jax.random.normal(jax.random.key(0), (1, 5, 8, 8, 3))
    assert nnx.bridge.ToNNX(MotionPrompt(), rngs=nnx.Rngs(0)).lazy_init(clips)(clips).shape == (1, 4, 8, 8, 3)


@pytest.mark.fast_cases("emim", "m2a")
@pytest.mark.parametrize("layer", [Emim(heads=2, window=3, dropout=0.5), M2A("tea"), M2A()], ids=["emim", "tea", "m2a"])
def test_one_call_trains_every_layer_in_nnx(layer):
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 16))
    rngs = nnx.Rngs(0, dropout=1)
    bridged = nnx.bridge.ToNNX(layer, rngs=rngs).lazy_init(x)
    before = jax.tree.leaves(nnx.to_pure_dict(nnx.state(bridged, nnx.BatchStat)))
    assert bridged(x, train=True, mutable=["batch_stats"], rngs=rngs).shape == x.shape
    after = jax.tree.leaves(nnx.to_pure_dict(nnx.state(bridged, nnx.BatchStat)))
    assert bool(before) == (getattr(layer, "motion", None) == "tea")
    assert all((old != new).any() for old, new in zip(before, after, strict=True))
