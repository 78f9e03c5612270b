"""Depthwise convolution of frames with a stride, and ReLU6, against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from motion_vit.ops.depthwise_frame_convolution import depthwise_frame_convolution
from motion_vit.ops.platform import target_platform
from motion_vit.ops.relu6 import relu6

RNG = np.random.default_rng(0)


def to_torch(x):
    """Frames as PyTorch takes them, [frames, channels, height, width]."""
    return torch.tensor(np.moveaxis(np.asarray(x).reshape(-1, *x.shape[2:]), -1, 1))


def from_torch(y, batch):
    y = np.moveaxis(y.detach().numpy(), 1, -1)
    return y.reshape(batch, -1, *y.shape[1:])


@pytest.mark.parametrize("platform", ["cpu", "gpu", "portable"])
@pytest.mark.parametrize(("side", "stride", "size"), [(3, 1, (7, 8)), (3, 2, (7, 8)), (3, 2, (1, 2)), (5, 3, (8, 11))])
def test_outputs_and_gradients_are_those_of_pytorch(side, stride, size, platform):
    x = RNG.standard_normal((2, 2, *size, 4)).astype(np.float32)
    kernel = RNG.standard_normal((1, side, side, 4)).astype(np.float32)
    theirs = to_torch(x).requires_grad_(), torch.tensor(kernel.transpose(3, 0, 1, 2)).requires_grad_()
    expected = torch.nn.functional.conv2d(*theirs, stride=stride, padding=side // 2, groups=4)
    cotangent = RNG.standard_normal(expected.shape).astype(np.float32)
    expected.backward(torch.tensor(cotangent))

    @jax.jit
    def run(x, kernel, cotangent):
        found, pull_back = jax.vjp(functools.partial(depthwise_frame_convolution, stride=stride), x, kernel)
        return found, pull_back(cotangent)

    with target_platform(platform):
        found, gradients = run(x, kernel, from_torch(torch.tensor(cotangent), 2))
    np.testing.assert_allclose(found, from_torch(expected, 2), atol=1e-5)
    np.testing.assert_allclose(gradients[0], from_torch(theirs[0].grad, 2), atol=1e-5)
    np.testing.assert_allclose(gradients[1], theirs[1].grad.numpy().transpose(1, 2, 3, 0), atol=1e-4)


def test_sums_of_bfloat16_are_rounded_once():
    x = np.ones((1, 1, 6, 6, 1), jnp.bfloat16)
    kernel = np.full((1, 3, 3, 1), 1 / 256, jnp.bfloat16)
    kernel[0, 0, 0] = 1
    output = np.asarray(jax.jit(functools.partial(depthwise_frame_convolution, stride=2))(x, kernel))
    assert output.dtype == jnp.bfloat16
    # 1 + 8 / 256, which sums in bfloat16 never reach from 1 on: each 256th is half of its last place there.
    assert output[0, 0, 1, 1, 0] == 1 + 8 / 256


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("shape", "kernel", "message"),
    [((1, 2, 4, 4, 3), (1, 3, 3, 2), "expected input"), ((1, 2, 4, 4, 3), (1, 2, 2, 3), "must be odd, got \\(2, 2\\)")],
)
def test_kernels_that_do_not_fit_are_named(shape, kernel, message):
    with pytest.raises(ValueError, match=message):
        depthwise_frame_convolution(jnp.zeros(shape), jnp.zeros(kernel), stride=2)


def test_relu6_and_its_gradient_are_those_of_pytorch_also_at_both_ends():
    values = np.array([-1.0, 0.0, 1e-6, 3.0, 6.0, 7.0], np.float32)
    theirs = torch.tensor(values).requires_grad_()
    torch.nn.functional.relu6(theirs).sum().backward()
    np.testing.assert_array_equal(jax.jit(relu6)(values), np.clip(values, 0, 6))
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda x: relu6(x).sum()))(values), theirs.grad.numpy())
