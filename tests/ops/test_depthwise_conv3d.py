"""Depthwise 3D convolution against its definition in float64, and its gradients against the adjoint identity."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from motion_vit.ops import depthwise_conv3d

# batch, frames, height, width, channels; kernel sizes. Odd sizes, kernels larger than the input, several blocks of
# rows.
CASES = [
    ((2, 3, 5, 7, 3), (3, 3, 3)),
    ((1, 2, 4, 3, 2), (5, 5, 5)),
    ((3, 4, 6, 5, 4), (1, 3, 5)),
    ((1, 6, 12, 4, 8), (5, 5, 5)),
]


def convolution(implementation):
    """The convolution as one program, which compiles faster than each of its operations by itself."""
    return jax.jit(functools.partial(depthwise_conv3d.depthwise_conv3d, implementation=implementation))


def convolve_by_definition(x, kernel):
    """Cross-correlation with zero padding in float64."""
    padded = np.pad(x.astype(np.float64), [(0, 0), *((size // 2,) * 2 for size in kernel.shape[:3]), (0, 0)])
    output = np.zeros(x.shape)
    for t, i, j in itertools.product(*map(range, kernel.shape[:3])):
        output += padded[:, t : t + x.shape[1], i : i + x.shape[2], j : j + x.shape[3]] * kernel[t, i, j].astype(
            np.float64
        )
    return output


@pytest.mark.parametrize("implementation", [None, *depthwise_conv3d.IMPLEMENTATIONS])
@pytest.mark.parametrize(("shape", "kernel_size"), CASES, ids=str)
class TestEveryImplementation:
    def inputs(self, shape, kernel_size, dtype=np.float32):
        rng = np.random.default_rng(0)
        return rng.standard_normal(shape).astype(dtype), rng.standard_normal((*kernel_size, shape[-1])).astype(dtype)

    def test_output_equals_the_definition(self, shape, kernel_size, implementation):
        x, kernel = self.inputs(shape, kernel_size)
        actual = convolution(implementation)(x, kernel)
        np.testing.assert_allclose(actual, convolve_by_definition(x, kernel), rtol=1e-5, atol=1e-5)

    @pytest.mark.fast_cases("(2, 3, 5, 7, 3)-*")
    def test_gradients_are_the_adjoint(self, shape, kernel_size, implementation):
        x, kernel = self.inputs(shape, kernel_size)
        rng = np.random.default_rng(1)
        gradient, other_x, other_kernel = (rng.standard_normal(a.shape).astype(np.float32) for a in (x, x, kernel))
        pull_back = jax.jit(lambda x, kernel, gradient: jax.vjp(convolution(implementation), x, kernel)[1](gradient))
        x_gradient, kernel_gradient = (np.asarray(g, np.float64) for g in pull_back(x, kernel, gradient))
        # The convolution is linear in each argument, so <g, conv(x', k)> = <dX, x'> and <g, conv(x, k')> = <dK, k'>.
        np.testing.assert_allclose(
            (x_gradient * other_x).sum(), (gradient * convolve_by_definition(other_x, kernel)).sum(), rtol=1e-4
        )
        np.testing.assert_allclose(
            (kernel_gradient * other_kernel).sum(),
            (gradient * convolve_by_definition(x, other_kernel)).sum(),
            rtol=1e-4,
        )

    @pytest.mark.fast_cases("(3, 4, 6, 5, 4)-*")
    def test_bfloat16_is_accumulated_in_float32(self, shape, kernel_size, implementation):
        x, kernel = self.inputs(shape, kernel_size, jnp.bfloat16)
        actual = convolution(implementation)(x, kernel)
        expected = convolve_by_definition(x, kernel)
        assert actual.dtype == jnp.bfloat16
        # One rounding of the output to eight bits: the inputs are the same bfloat16 numbers on both sides.
        np.testing.assert_allclose(
            np.asarray(actual, np.float64), expected, rtol=2**-8, atol=2**-8 * np.abs(expected).max() / 4
        )


@pytest.mark.fast_cases("(1, 4, 4, 7, 2)-*")
@pytest.mark.parametrize("implementation", [None, *depthwise_conv3d.IMPLEMENTATIONS])
@pytest.mark.parametrize(
    ("shape", "kernel_size", "stride"),
    # Odd and even sizes; a kernel of fewer positions than the stride has phases; one that loops over temporal taps.
    [((2, 3, 5, 8, 3), (3, 3, 3), 2), ((1, 4, 4, 7, 2), (5, 1, 1), 3), ((1, 2, 7, 6, 2), (3, 5, 5), 2)],
    ids=str,
)
def test_a_stride_leaves_out_positions(shape, kernel_size, stride, implementation):
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(size).astype(np.float32) for size in (shape, (*kernel_size, shape[-1])))
    convolve = functools.partial(depthwise_conv3d.depthwise_conv3d, stride=stride, implementation=implementation)
    whole = convolve_by_definition(x, kernel)
    gradient = np.zeros(whole.shape, np.float32)
    kept = gradient[:, :, ::stride, ::stride]
    kept[:] = rng.standard_normal(kept.shape)

    @jax.jit
    def run(x, kernel, kept, gradient):
        output, pull_back = jax.vjp(convolve, x, kernel)
        # Of all positions, with a gradient of 0 of those that are left out.
        _, pull_back_whole = jax.vjp(functools.partial(convolve, stride=1, implementation="xla_conv"), x, kernel)
        return output, pull_back(kept), pull_back_whole(gradient)

    output, actual, expected = run(x, kernel, kept, gradient)
    np.testing.assert_allclose(output, whole[:, :, ::stride, ::stride], rtol=1e-5, atol=1e-5)
    for each, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(each, other, rtol=1e-4, atol=1e-5)


def test_the_blocked_kernel_gradient_covers_every_position(monkeypatch):
    x = np.random.default_rng(0).standard_normal((4, 2, 6, 5, 3)).astype(np.float32)
    kernel = jnp.zeros((3, 3, 3, 3))

    def kernel_gradient(x):
        _, pullback = jax.vjp(lambda k: depthwise_conv3d.depthwise_conv3d(x, k, implementation="shifted"), kernel)
        return pullback(jnp.ones(x.shape))[0]

    whole = jax.jit(kernel_gradient)(x)
    for block_bytes in (1, 2 * 3 * 5 * 3 * 4, 2 * x[0].nbytes):  # one row, three rows, two clips at a time
        monkeypatch.setattr(depthwise_conv3d, "_BLOCK_BYTES", block_bytes)
        # Traced anew: the size of blocks is no argument.
        np.testing.assert_allclose(jax.jit(lambda x: kernel_gradient(x))(x), whole, rtol=1e-5, atol=1e-5)


def test_no_temporal_tap_copies_its_frames():
    x, kernel = jnp.zeros((1, 8, 16, 16, 16)), jnp.zeros((5, 5, 5, 16))
    memory = convolution("shifted").lower(x, kernel).compile().memory_analysis()
    padded_bytes = 12 * 20 * 20 * 16 * 4
    assert memory.temp_size_in_bytes < 1.1 * padded_bytes


def test_clips_stay_on_their_devices():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    rng = np.random.default_rng(0)
    x, gradient = (rng.standard_normal((8, 3, 5, 7, 3)).astype(np.float32) for _ in range(2))
    kernel = rng.standard_normal((3, 3, 3, 3)).astype(np.float32)

    def gradients(x, kernel, gradient):
        return jax.vjp(depthwise_conv3d.depthwise_conv3d, x, kernel)[1](gradient)

    expected = jax.jit(gradients)(x, kernel, gradient)
    with jax.set_mesh(mesh):
        by_clips, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))
        split = [jax.device_put(*pair) for pair in ((x, by_clips), (kernel, whole), (gradient, by_clips))]
        compiled = jax.jit(gradients).lower(*split).compile()
        actual = compiled(*split)
    for each, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(each, other, rtol=1e-5, atol=1e-5)
    # What is summed over devices is the gradient to the kernel.
    assert re.findall(r"(all-gather|all-to-all|collective-permute|all-reduce)\(", compiled.as_text()) == ["all-reduce"]


def test_a_stride_of_nothing_is_refused():
    with pytest.raises(ValueError, match="stride must be 1 or more, got 0"):
        depthwise_conv3d.depthwise_conv3d(jnp.zeros((1, 1, 2, 2, 1)), jnp.zeros((1, 1, 1, 1)), stride=0)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "implementation", "message"),
    [
        ((1, 2, 3, 3, 4), (3, 3, 3, 5), None, r"got \(1, 2, 3, 3, 4\) and \(3, 3, 3, 5\)"),
        ((1, 2, 3, 3, 4), (2, 3, 3, 4), None, "odd"),
        ((1, 2, 3, 3, 4), (3, 3, 3, 4), "cudnn", "choose from xla_conv, shifted"),
    ],
)
def test_wrong_arguments_are_named(x_shape, kernel_shape, implementation, message):
    with pytest.raises(ValueError, match=message):
        depthwise_conv3d.depthwise_conv3d(jnp.zeros(x_shape), jnp.zeros(kernel_shape), implementation=implementation)
