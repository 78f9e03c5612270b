"""The Pallas kernel of cost-volume attention beyond what every implementation is tested for."""

import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from motion_vit.ops import cost_volume
from motion_vit.ops.motion_branch import MotionBranch
from motion_vit.ops.platform import target_platform
from motion_vit.training.ahead_of_time.topology import topology_devices

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler libtpu is not installed (the extra `tpu`)"
)
WINDOW = 3


def make_inputs(shape):
    """Queries, keys, values, position bias and motion weights."""
    rng = np.random.default_rng(0)
    heads, features = shape[4:]
    shapes = [shape] * 3 + [(heads, WINDOW, WINDOW), (9, 6), (6,), (6, features), (features,)]
    *arrays, hidden, hidden_bias, output, output_bias = (rng.normal(size=one).astype(np.float32) for one in shapes)
    return *arrays, MotionBranch(hidden, hidden_bias, output, output_bias)


def with_gradients(implementation, **options):
    """The output, and the gradients of the sum of its squares to all inputs."""

    def run(*inputs):
        def loss(*inputs):
            output = cost_volume.cost_volume_attention(*inputs, window=WINDOW, implementation=implementation, **options)
            return jnp.sum(jnp.square(output)), output

        (_, output), gradients = jax.value_and_grad(loss, argnums=tuple(range(len(inputs))), has_aux=True)(*inputs)
        return output, gradients

    return run


def assert_close(actual, expected):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-5 * np.abs(e).max()), actual, expected)


@pytest.mark.slow
def test_the_motion_branch_can_read_the_softmax():
    inputs = make_inputs((1, 1, 2, 3, 1, 4))
    run = functools.partial(with_gradients, motion_input="softmax")
    assert_close(jax.jit(run("pallas"))(*inputs), jax.jit(run("xla_window"))(*inputs))


def test_without_motion_branch_and_bias_it_is_local_attention():
    query, key, value, *_ = make_inputs((1, 2, 2, 2, 2, 4))
    assert_close(
        jax.jit(with_gradients("pallas"))(query, key, value), jax.jit(with_gradients("xla_window"))(query, key, value)
    )


@pytest.mark.slow
def test_it_can_be_mapped_and_computed_again_in_the_backward_pass():
    run = with_gradients("pallas")
    query, key, value, *weights = make_inputs((2, 1, 2, 2, 1, 4))
    frames = (query, key, value)

    def each(*frames):
        return jax.checkpoint(run)(*(x[None] for x in frames), *weights)

    output, gradients = jax.jit(jax.vmap(each))(*frames)
    expected_output, expected = jax.jit(with_gradients("xla_window"))(*frames, *weights)
    assert_close(output[:, 0], expected_output)
    assert_close([gradient[:, 0] for gradient in gradients[:3]], list(expected[:3]))
    assert_close(jax.tree.map(lambda gradient: gradient.sum(axis=0), gradients[3:]), expected[3:])


@pytest.mark.fast_cases("2-*")
@pytest.mark.parametrize(("batch", "axes"), [(8, ("data", "fsdp")), (2, ("fsdp",))])
def test_every_device_works_on_its_own_clips(batch, axes):
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"))
    clips, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec(axes), PartitionSpec()))
    inputs = make_inputs((batch, 1, 2, 2, 1, 4))
    expected = jax.jit(with_gradients("xla_window"))(*inputs)
    split = [jax.device_put(x, clips if index < 3 else whole) for index, x in enumerate(inputs)]
    with jax.set_mesh(mesh):
        compiled = jax.jit(with_gradients("pallas")).lower(*split).compile()
    output, gradients = compiled(*split)
    assert_close((output, gradients), expected)
    assert output.sharding.is_equivalent_to(clips, output.ndim)
    # Only the gradients of the weights are summed over the devices.
    assert not re.search(r"all-(gather|to-all)|collective-permute", compiled.as_text())


@pytest.mark.fast_cases("v6e:*")
@pytest.mark.usefixtures("uncached")
@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "dtype"), [("v5e:2x2", "bfloat16"), ("v5p:2x2x1", "float32"), ("v6e:2x2", "bfloat16")]
)
def test_it_compiles_for_tpus(topology, dtype):
    # Two clips on four devices, as a model is initialised with fewer clips than there are devices.
    mesh = Mesh(np.array(topology_devices(topology)).reshape(2, 2), ("data", "fsdp"))
    inputs = make_inputs((2, 1, 7, 7, 2, 64))
    whole = NamedSharding(mesh, PartitionSpec())
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype, sharding=whole), inputs)
    with target_platform("tpu"), jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        program = jax.jit(with_gradients("pallas")).lower(*shapes).compile()
    assert program.as_text().count('custom_call_target="tpu_custom_call"') == 2  # forward and backward


@pytest.mark.parametrize(
    ("platform", "shape", "dtype", "message"),
    [
        ("gpu", (1, 1, 2, 2, 1, 4), "float32", "runs on TPU"),
        ("portable", (1, 1, 2, 2, 1, 4), "float32", "cannot be split over frames"),
        ("tpu", (1, 1, 2, 2, 1, 4), "float16", "float32 and bfloat16, not float16"),
        ("tpu", (1, 1, 30, 30, 1, 4), "float32", "in float32 are too large .* choose 'xla_strip'"),
    ],
)
def test_what_it_cannot_do_is_said(platform, shape, dtype, message):
    x = jnp.zeros(shape, dtype)
    with target_platform(platform), pytest.raises(ValueError, match=message):
        cost_volume.cost_volume_attention(x, x, x, window=WINDOW, implementation="pallas")
