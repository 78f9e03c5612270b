"""Global attention against its definition in float64."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from motion_vit.models.rematerialization import rematerialized
from motion_vit.ops import global_attention

# batch, tokens, heads, channels: fewer tokens than a chunk, several chunks and a remainder.
SHAPES = [(2, 7, 3, 4), (1, 451, 2, 8)]
CPU_IMPLEMENTATIONS = [None, "xla", "chunked", "clipwise", "stacked", "pallas"]


def attend_by_definition(query, key, value):
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    exponentials = jnp.exp(logits - logits.max(-1, keepdims=True))
    return jnp.einsum("bhqk,bkhd->bqhd", exponentials / exponentials.sum(-1, keepdims=True), value)


def output_and_gradients(attend, inputs, cotangent):
    """In one program, which compiles faster than each of its operations by itself."""

    @jax.jit
    def run(inputs, cotangent):
        output, pullback = jax.vjp(attend, *inputs)
        return output, pullback(cotangent)

    return run(tuple(inputs), cotangent)


@functools.cache
def reference(shape):
    rng = np.random.default_rng(0)
    inputs = tuple(rng.standard_normal(shape) for _ in range(3))
    cotangent = rng.standard_normal(shape)
    with jax.enable_x64(True):
        output, gradients = output_and_gradients(attend_by_definition, inputs, cotangent)
        return inputs, np.asarray(output), cotangent, [np.asarray(g) for g in gradients]


@pytest.mark.parametrize("implementation", CPU_IMPLEMENTATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_equal_the_definition(shape, implementation):
    inputs, output, cotangent, gradients = reference(shape)
    attend = functools.partial(global_attention.global_attention, implementation=implementation)
    actual, actual_gradients = output_and_gradients(attend, map(np.float32, inputs), np.float32(cotangent))
    np.testing.assert_allclose(actual, output, atol=1e-5)
    for actual_gradient, gradient in zip(actual_gradients, gradients, strict=True):
        np.testing.assert_allclose(actual_gradient, gradient, atol=1e-5)


@pytest.mark.parametrize("implementation", CPU_IMPLEMENTATIONS)
def test_values_may_have_other_channels_than_keys(implementation):
    (query, key, value), output, cotangent, gradients = reference(SHAPES[0])
    attend = functools.partial(global_attention.global_attention, implementation=implementation)
    found, (*_, value_gradient) = output_and_gradients(
        attend, map(np.float32, (query, key, value[..., :3])), np.float32(cotangent[..., :3])
    )
    np.testing.assert_allclose(found, output[..., :3], atol=1e-5)
    np.testing.assert_allclose(value_gradient, gradients[2][..., :3], atol=1e-5)


@pytest.mark.parametrize("implementation", CPU_IMPLEMENTATIONS)
def test_bfloat16_stays_close(implementation):
    inputs, output, _, _ = reference(SHAPES[1])
    attend = functools.partial(global_attention.global_attention, implementation=implementation)
    actual = jax.jit(attend)(*(x.astype(jnp.bfloat16) for x in inputs))
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(actual, np.float64), output, atol=0.02)


def test_weights_are_those_applied_to_the_values():
    inputs, output, _, _ = reference(SHAPES[0])
    query, key, value = map(np.float32, inputs)
    weights = np.asarray(jax.jit(global_attention.attention_weights)(query, key))
    np.testing.assert_allclose(np.einsum("bhqk,bkhd->bqhd", weights, value), output, atol=1e-5)


def test_a_long_clip_on_cpu_can_be_exported_for_any_number_of_clips():
    (clips,) = jax.export.symbolic_shape("clips")
    long = jax.ShapeDtypeStruct((clips, 784, 1, 2), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: global_attention.global_attention(x, x, x)))(long)
    x = np.random.default_rng(0).standard_normal((3, 784, 1, 2)).astype(np.float32)
    expected = jax.jit(attend_by_definition)(x, x, x)
    np.testing.assert_allclose(jax.jit(exported.call)(x), expected, atol=1e-5)


def test_a_long_clip_on_cpu_never_holds_all_weights():
    abstract = jax.ShapeDtypeStruct((1, 3136, 5, 64), jnp.float32)

    def loss(query, key, value):
        return jnp.sum(global_attention.global_attention(query, key, value) ** 2)

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(abstract, abstract, abstract).compile()
    one_head_of_weights = 3136**2 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * one_head_of_weights


@pytest.mark.fast_cases("chunked", "clipwise")
@pytest.mark.parametrize("implementation", [None, "clipwise", "chunked"])
def test_clips_stay_on_their_devices(implementation):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((8, 12, 2, 4)).astype(np.float32) for _ in range(3)]
    attend = functools.partial(global_attention.global_attention, implementation=implementation)

    def attend_and_differentiate(query, key, value):
        output, pullback = jax.vjp(attend, query, key, value)
        return output, pullback(output)

    with jax.set_mesh(mesh):
        split = [jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))) for x in inputs]
        compiled = jax.jit(attend_and_differentiate).lower(*split).compile()
        output, gradients = compiled(*split)
    expected, expected_gradients = output_and_gradients(attend_by_definition, inputs, np.asarray(output))
    np.testing.assert_allclose(output, expected, atol=1e-5)
    for gradient, each in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, each, atol=1e-5)
    assert not re.search(r"all-(gather|to-all|reduce)|collective-permute", compiled.as_text())


def test_keeping_outputs_spares_the_second_forward_pass():
    attend = functools.partial(global_attention.global_attention, implementation="chunked")
    tokens = jnp.ones((1, 7, 2, 4))

    def exponentials(remat):
        loss = rematerialized(lambda x: attend(x, x, x).sum(), remat)
        return str(jax.make_jaxpr(jax.grad(loss))(tokens)).count("= exp ")

    assert (exponentials("none"), exponentials("matmuls"), exponentials("blocks")) == (2, 2, 3)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("query_shape", "implementation", "message"),
    [
        ((1, 4, 2), None, r"\[batch, tokens, heads, channels\]"),
        ((1, 4, 2, 8), "flash", "choose from xla, cudnn, chunked"),
    ],
)
def test_wrong_arguments_are_named(query_shape, implementation, message):
    key = jnp.zeros((1, 4, 2, 8))
    with pytest.raises(ValueError, match=message):
        global_attention.global_attention(jnp.zeros(query_shape), key, key, implementation=implementation)
