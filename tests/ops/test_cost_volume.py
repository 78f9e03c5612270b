"""Every form of cost-volume attention against the definition, evaluated in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.ops import cost_volume, neighbourhood
from motion_vit.ops.motion_branch import MotionBranch

# batch, pairs, height, width, heads, channels, window: non-square maps, maps smaller than the window and several
# strips.
SHAPES = [(2, 3, 5, 7, 2, 4, 3), (1, 1, 4, 3, 3, 5, 7), (1, 2, 9, 16, 1, 8, 5), (1, 2, 1, 1, 2, 4, 3)]
KERNEL_SHAPES = [(2, 2, 3, 4, 2, 4, 3), (1, 1, 2, 1, 1, 5, 5)]  # interpreting a kernel takes long to compile
CASES = [(form, shape) for form in (None, *neighbourhood.IMPLEMENTATIONS) for shape in SHAPES]
CASES += [("pallas", shape) for shape in KERNEL_SHAPES]


def make_inputs(shape, seed=0):
    """Random queries, keys, values, position bias and motion weights in float64."""
    batch, pairs, height, width, heads, channels, window = shape
    rng = np.random.default_rng(seed)
    displacements = window**2
    query, key, value = (rng.standard_normal((batch, pairs, height, width, heads, channels)) for _ in range(3))
    bias = rng.standard_normal((heads, window, window))
    sizes = [(displacements, 6), (6,), (6, channels), (channels,)]
    motion = MotionBranch(*(rng.standard_normal(size) * 0.3 for size in sizes))
    return query, key, value, bias, motion


def affinity_by_definition(query, key, bias, window):
    """The affinity, one displacement after the other, with keys really padded."""
    height, width, radius = query.shape[2], query.shape[3], window // 2
    space = [(0, 0), (0, 0), (radius, radius), (radius, radius), (0, 0), (0, 0)]
    padded = jnp.pad(key, space, constant_values=1e-6)
    columns = []
    for u in range(window):
        for v in range(window):
            shifted = padded[:, :, u : u + height, v : v + width]
            inner = (query * shifted).sum(-1) / np.sqrt(query.shape[-1])
            columns.append(inner + bias[:, u, v].reshape(1, 1, 1, 1, -1))
    return jnp.stack(columns, axis=-1)


def attention_by_definition(query, key, value, bias, motion, window):
    """EMIM equations 3 to 6 as they stand."""
    height, width, radius = query.shape[2], query.shape[3], window // 2
    affinity = affinity_by_definition(query, key, bias, window)
    # A shift does not change the weights. XLA may compute the affinity twice, rounded differently: then no entry is the
    # largest, and the gradient of the maximum 0 / 0.
    exponentials = jnp.exp(affinity - jax.lax.stop_gradient(affinity.max(-1, keepdims=True)))
    weights = exponentials / exponentials.sum(-1, keepdims=True)
    space = [(0, 0), (0, 0), (radius, radius), (radius, radius), (0, 0), (0, 0)]
    padded = jnp.pad(value, space, constant_values=1e-6)
    output = jnp.zeros_like(value)
    for displacement in range(window**2):
        u, v = divmod(displacement, window)
        output = output + weights[..., displacement, None] * padded[:, :, u : u + height, v : v + width]
    hidden = jnp.einsum("...p,pm->...m", affinity, motion.hidden_kernel) + motion.hidden_bias.reshape((1,) * 5 + (-1,))
    hidden = hidden / (1 + jnp.exp(-1.702 * hidden))
    features = jnp.einsum("...m,md->...d", hidden, motion.output_kernel)
    return output + features + motion.output_bias.reshape((1,) * 5 + (-1,))


@functools.cache
def reference(shape):
    """Inputs, output, cotangent and gradients of the definition in float64."""
    inputs = make_inputs(shape)
    cotangent = np.random.default_rng(1).standard_normal(inputs[0].shape)
    with jax.enable_x64(True):
        definition = functools.partial(attention_by_definition, window=shape[-1])

        @jax.jit
        def run(inputs, cotangent):
            output, pullback = jax.vjp(definition, *inputs)
            return output, pullback(cotangent)

        return inputs, *jax.tree.map(np.asarray, run(inputs, cotangent)), cotangent


@functools.cache
def reference_affinity(shape):
    """The affinity of the same inputs in float32."""
    query, key, _, bias, _ = make_inputs(shape)
    inputs = (x.astype(np.float32) for x in (query, key, bias))
    return np.asarray(jax.jit(functools.partial(affinity_by_definition, window=shape[-1]))(*inputs))


def largest_relative_error(actual, expected):
    """The largest error over all arrays, relative to each array's largest value."""
    errors = jax.tree.map(lambda a, e: np.abs(np.asarray(a, np.float64) - e).max() / np.abs(e).max(), actual, expected)
    return max(jax.tree.leaves(errors))


@pytest.mark.parametrize(("implementation", "shape"), CASES, ids=str)
class TestEveryImplementation:
    def attend(self, shape, implementation):
        return functools.partial(cost_volume.cost_volume_attention, window=shape[-1], implementation=implementation)

    @pytest.mark.fast_cases("xla_*-(2, 3, 5, 7, 2, 4, 3)", "pallas-(1, 1, 2, 1, 1, 5, 5)")
    def test_float32_output_and_gradients_equal_the_definition(self, shape, implementation):
        inputs, output, gradients, cotangent = reference(shape)
        inputs = jax.tree.map(np.float32, inputs)

        @jax.jit
        def run(inputs, cotangent):
            result, pullback = jax.vjp(self.attend(shape, implementation), *inputs)
            return result, pullback(cotangent)

        actual, actual_gradients = run(inputs, np.float32(cotangent))
        assert actual.dtype == jnp.float32
        assert largest_relative_error(actual, output) < 1e-5
        assert largest_relative_error(actual_gradients, gradients) < 1e-5

    @pytest.mark.fast_cases("*-(2, 3, 5, 7, 2, 4, 3)", "pallas-(1, 1, 2, 1, 1, 5, 5)")
    def test_bfloat16_stays_close_to_the_definition(self, shape, implementation):
        inputs, output, _, _ = reference(shape)
        inputs = jax.tree.map(lambda x: x.astype(jnp.bfloat16), inputs)
        actual = jax.jit(self.attend(shape, implementation))(*inputs)
        assert actual.dtype == jnp.bfloat16
        # Eight bits of mantissa, rounded at inputs, weights, hidden layer and output.
        assert largest_relative_error(actual, output) < 0.05

    def test_cost_volume_is_the_affinity_in_float32(self, shape, implementation):
        query, key, _, bias, _ = make_inputs(shape)
        compare = functools.partial(cost_volume.cost_volume, window=shape[-1], implementation=implementation)
        actual = jax.jit(compare)(*map(np.float32, (query, key, bias)))
        assert actual.dtype == jnp.float32
        np.testing.assert_allclose(actual, reference_affinity(shape), rtol=1e-5, atol=1e-5)


def test_a_translated_frame_peaks_at_its_displacement():
    rng = np.random.default_rng(0)
    frame = rng.standard_normal((1, 1, 12, 12, 1, 64)).astype(np.float32)
    moved = np.roll(frame, (2, -1), axis=(2, 3))
    volume = jax.jit(functools.partial(cost_volume.cost_volume, window=7))(frame, moved)
    inner = np.asarray(volume)[0, 0, 3:-3, 3:-3, 0].argmax(-1)
    assert (inner == (3 + 2) * 7 + (3 - 1)).all()


def test_without_motion_branch_and_bias_the_output_is_an_average_of_values():
    query, key, _, _, _ = make_inputs(SHAPES[0])
    constant = np.ones_like(query)
    attend = jax.jit(functools.partial(cost_volume.cost_volume_attention, window=3))
    output = attend(*map(np.float32, (query, key, constant)))
    inside = np.asarray(output)[:, :, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, 1.0, rtol=1e-5)
    assert np.asarray(output)[:, :, 0].max() < 1.0  # candidates outside the image take their share of the weights


def test_the_motion_branch_can_read_the_softmax():
    attend = functools.partial(cost_volume.cost_volume_attention, window=3)

    @jax.jit
    def run(query, key, value, bias, motion):
        plain = attend(query, key, value, bias)
        outputs = {
            which: attend(query, key, value, bias, motion, motion_input=which) - plain
            for which in ("affinity", "softmax")
        }
        weights = jax.nn.softmax(cost_volume.cost_volume(query, key, bias, window=3), axis=-1)
        hidden = weights @ motion.hidden_kernel + motion.hidden_bias.reshape((1,) * 5 + (-1,))
        expected = (hidden * jax.nn.sigmoid(1.702 * hidden)) @ motion.output_kernel
        return outputs, expected + motion.output_bias.reshape((1,) * 5 + (-1,))

    outputs, expected = jax.device_get(run(*jax.tree.map(np.float32, make_inputs(SHAPES[0]))))
    np.testing.assert_allclose(outputs["softmax"], expected, atol=1e-5)
    assert np.abs(outputs["softmax"] - outputs["affinity"]).max() > 0.1


def test_the_default_path_never_holds_all_windows():
    shape = (1, 4, 14, 14, 2, 64)
    abstract = jax.ShapeDtypeStruct(shape, jnp.float32)
    windows_bytes = np.prod(shape) * 49 * 4

    def temporary_bytes(implementation):
        attend = functools.partial(cost_volume.cost_volume_attention, window=7, implementation=implementation)
        compiled = jax.jit(attend).lower(abstract, abstract, abstract).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes("xla_window") > windows_bytes
    assert temporary_bytes(None) < windows_bytes / 2


@pytest.mark.parametrize("implementation", ["xla_dense", "xla_strip"])
def test_the_portable_forms_compile_without_gather_or_scatter(implementation):
    abstract = jax.ShapeDtypeStruct((1, 2, 8, 8, 1, 4), jnp.float32)

    def loss(query, key, value):
        output = cost_volume.cost_volume_attention(query, key, value, window=3, implementation=implementation)
        return jnp.sum(output**2)

    program = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(abstract, abstract, abstract).as_text()
    assert "stablehlo.gather" not in program
    assert "stablehlo.scatter" not in program


def motion_weights(displacements, channels):
    return MotionBranch(*map(jnp.zeros, ((displacements, 8), (8,), (8, channels), (channels,))))


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *[
            ({"window": window}, f"window is {window!r}, but must be a positive odd")
            for window in (4, 0, -1, 3.0, "3", None)
        ],
        *[
            ({name: jnp.zeros((2, 3, 5, 7, 2, 4), dtype)}, rf"{name} is {dtype}, but must be an array of floating")
            for name in ("query", "key", "value")
            for dtype in ("uint8", "int32", "bool")
        ],
        ({"query": [[1.0]]}, "query is list, but must be an array"),
        ({"value": None}, "value is None"),
        ({"position_bias": 3}, "position_bias is int, but must be an array"),
        ({"motion": tuple(motion_weights(9, 4))}, "motion is tuple, but must be a MotionBranch"),
        ({"motion": motion_weights(9, 4)._replace(output_bias=jnp.zeros(4, int))}, "output_bias is int32, but must be"),
        ({"implementation": "cuda"}, "choose from xla_window"),
        ({"motion_input": "logits"}, "'affinity' or 'softmax'"),
        ({"position_bias": jnp.zeros((1, 3, 3))}, r"\(2, 3, 3\)"),
        ({"value": jnp.zeros((2, 3, 5, 7, 2, 5))}, "one shape"),
        ({"motion": motion_weights(1, 4)}, r"weights of the shapes \(\(1, 8\), .* need \(\(9, 8\), "),
        ({"motion": motion_weights(9, 1)}, r"\(8, 1\), .*heads of 4 channels need"),
        ({"key": jnp.zeros((2, 3, 5, 6, 2, 4))}, r"\[batch, pairs, height, width, heads, channels\]"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    zeros = jnp.zeros((2, 3, 5, 7, 2, 4))
    arguments = {"query": zeros, "key": zeros, "value": zeros, "window": 3} | change
    with pytest.raises(ValueError, match=message):
        cost_volume.cost_volume_attention(**arguments)
