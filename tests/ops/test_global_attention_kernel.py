"""The Pallas kernel of global attention beyond what every implementation is tested for."""

import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from motion_vit.ops import global_attention_kernel
from motion_vit.ops.global_attention import global_attention
from motion_vit.ops.platform import target_platform
from motion_vit.training.ahead_of_time.topology import topology_devices


def make_inputs(shape, keys=None, dtype=np.float32):
    """Queries, keys and values."""
    rng = np.random.default_rng(0)
    key_shape = (shape[0], keys or shape[1], *shape[2:])
    return tuple(rng.standard_normal(one).astype(dtype) for one in (shape, key_shape, key_shape))


def with_gradients(implementation):
    """The output, and the gradients of the sum of its squares to all inputs."""

    def run(*inputs):
        def loss(*inputs):
            output = global_attention(*inputs, implementation=implementation)
            return jnp.sum(jnp.square(output.astype(jnp.float32))), output

        (_, output), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*inputs)
        return output, gradients

    return run


def assert_close(actual, expected, tolerance=1e-5):
    def check(actual, expected):
        actual, expected = np.float32(actual), np.float32(expected)
        assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()

    jax.tree.map(check, actual, expected)


# Three heads of 64 channels are one group of two and one of which half is missing.
@pytest.mark.fast_cases("bfloat16-0.02-shape0-*", "float32-1e-05-shape2-*")
@pytest.mark.parametrize(("shape", "keys"), [((2, 48, 3, 64), None), ((1, 53, 3, 64), None), ((1, 40, 2, 4), 21)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_chunks_of_queries_and_groups_of_heads_add_up(shape, keys, dtype, tolerance, monkeypatch):
    inputs = make_inputs(shape, keys, dtype)
    monkeypatch.setattr(global_attention_kernel, "_LOGITS_BYTES", 16 * 4 * inputs[1].shape[1])  # 16 queries at a time
    expected = jax.jit(with_gradients("xla"))(*map(np.float32, inputs))
    assert_close(jax.jit(with_gradients("pallas"))(*inputs), expected, tolerance)


def test_it_can_be_mapped_and_computed_again_in_the_backward_pass():
    inputs = make_inputs((2, 6, 2, 4))

    def each(*clip):
        return jax.checkpoint(with_gradients("pallas"))(*(x[None] for x in clip))

    output, gradients = jax.jit(jax.vmap(each))(*inputs)
    expected = jax.jit(with_gradients("xla"))(*inputs)
    assert_close((output[:, 0], tuple(gradient[:, 0] for gradient in gradients)), expected)


def test_every_device_works_on_its_own_clips():
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"))
    clips = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    inputs = make_inputs((8, 6, 2, 4))
    split = [jax.device_put(x, clips) for x in inputs]
    with jax.set_mesh(mesh):
        compiled = jax.jit(with_gradients("pallas")).lower(*split).compile()
    assert_close(compiled(*split), jax.jit(with_gradients("xla"))(*inputs))
    assert not re.search(r"all-(gather|to-all|reduce)|collective-permute", compiled.as_text())


@pytest.mark.fast_cases("v6e:*")
@pytest.mark.usefixtures("uncached")
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler libtpu is not installed (the extra `tpu`)"
)
@pytest.mark.parametrize(
    ("topology", "shape", "dtype"),
    [
        ("v5e:2x2", (4, 3136, 5, 64), "bfloat16"),
        ("v5p:2x2x1", (4, 196, 3, 64), "float32"),
        ("v6e:2x2", (4, 451, 8, 64), "bfloat16"),
    ],
)
def test_it_compiles_for_tpus_and_reads_and_writes_each_array_once(topology, shape, dtype):
    mesh = Mesh(np.array(topology_devices(topology)), ("data",))
    clips = NamedSharding(mesh, PartitionSpec("data"))
    inputs = [jax.ShapeDtypeStruct(shape, dtype, sharding=clips)] * 3
    run = functools.partial(jax.vjp, functools.partial(global_attention, implementation="pallas"))
    with target_platform("tpu"), jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        program = jax.jit(lambda *inputs: run(*inputs)[1](inputs[0])).lower(*inputs).compile()
    # Nothing of the forward pass is needed for the gradients.
    assert program.as_text().count('custom_call_target="tpu_custom_call"') == 1
    one_array = np.prod(shape) // 4 * jnp.dtype(dtype).itemsize
    assert program.memory_analysis().temp_size_in_bytes < 12 * one_array


@pytest.mark.parametrize(
    ("platform", "tokens", "dtype", "message"),
    [
        ("gpu", 4, "float32", "runs on TPU"),
        ("portable", 4, "float32", "cannot be split over frames"),
        ("tpu", 4, "float16", "float32 and bfloat16, not float16"),
        ("tpu", 50_000, "bfloat16", "clips of 50000 tokens in bfloat16 are too large"),
    ],
)
def test_what_it_cannot_do_is_said(platform, tokens, dtype, message):
    x = jax.ShapeDtypeStruct((1, tokens, 1, 4), dtype)
    with target_platform(platform), pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: global_attention(x, x, x, implementation="pallas"), x)
