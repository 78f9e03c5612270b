"""Convolution, pooling and resizing of frames, against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from motion_vit.ops.frame_convolution import frame_convolution, halve_frames, resize_frames_nearest
from motion_vit.ops.max_pool import max_pool_frames
from motion_vit.ops.platform import target_platform

RNG = np.random.default_rng(0)


def to_torch(x):
    """Frames as PyTorch takes them, [frames, channels, height, width]."""
    return torch.tensor(np.moveaxis(np.asarray(x).reshape(-1, *x.shape[2:]), -1, 1))


def from_torch(y, batch):
    y = np.moveaxis(y.detach().numpy(), 1, -1)
    return y.reshape(batch, -1, *y.shape[1:])


@pytest.mark.parametrize("platform", ["cpu", "gpu", "portable"])
@pytest.mark.parametrize(("side", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_frames_are_convolved_as_pytorch_does(side, stride, platform):
    x = RNG.standard_normal((2, 2, 7, 8, 3)).astype(np.float32)
    kernel = RNG.standard_normal((side, side, 3, 5)).astype(np.float32)
    weight = torch.tensor(kernel.transpose(3, 2, 0, 1))
    expected = from_torch(torch.nn.functional.conv2d(to_torch(x), weight, stride=stride, padding=side // 2), 2)
    with target_platform(platform):
        found = jax.jit(functools.partial(frame_convolution, stride=stride))(x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("size", [(7, 8), (1, 5)])
def test_the_maximum_and_its_gradient_are_those_of_pytorch(size, platform):
    x = RNG.standard_normal((2, 2, *size, 3)).astype(np.float32)
    theirs = to_torch(x).requires_grad_()
    pooled = torch.nn.functional.max_pool2d(theirs, 3, 2, padding=1)
    cotangent = RNG.standard_normal(pooled.shape).astype(np.float32)
    pooled.backward(torch.tensor(cotangent))

    def weighted(x):
        y = max_pool_frames(x)
        return jnp.sum(y * from_torch(torch.tensor(cotangent), 2)), y

    with target_platform(platform):
        gradient, y = jax.jit(jax.grad(weighted, has_aux=True))(x)
    np.testing.assert_array_equal(y, from_torch(pooled, 2))
    np.testing.assert_allclose(gradient, from_torch(theirs.grad, 2), atol=1e-6)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_frames_are_halved_and_enlarged_as_pytorch_does(size):
    x = RNG.standard_normal((2, 2, *size, 3)).astype(np.float32)
    halved = torch.nn.functional.avg_pool2d(to_torch(x), 2)
    enlarged = torch.nn.functional.interpolate(halved, size)

    @jax.jit
    def run(x):
        return halve_frames(x), resize_frames_nearest(halve_frames(x), *size)

    for found, expected in zip(run(x), (halved, enlarged), strict=True):
        np.testing.assert_allclose(found, from_torch(expected, 2), atol=1e-6)
