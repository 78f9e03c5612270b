"""TensorFlow's padding: how much it is, and convolutions and pools with it."""

import functools
import itertools

import jax
import numpy as np
import pytest
import torch
from jax import lax

from motion_vit.ops.clip_convolution import clip_convolution
from motion_vit.ops.max_pool import max_pool_clips
from motion_vit.ops.padding import edge_padding
from motion_vit.ops.platform import target_platform

RNG = np.random.default_rng(0)


def padded_for_torch(x, kernel, strides, value=0.0):
    """A clip as PyTorch takes it, padded as `compute_pad` of piergiaj's `pytorch_i3d.py` says."""
    edges = []
    for size, side, stride in zip(x.shape[1:4], kernel, strides, strict=True):
        missing = max(side - (size % stride or stride), 0)
        edges += [missing - missing // 2, missing // 2]
    # PyTorch wants the last axis first, and each as front and behind.
    return torch.nn.functional.pad(torch.tensor(np.moveaxis(x, -1, 1)), edges[::-1], value=value)


def from_torch(y):
    return np.moveaxis(y.detach().numpy(), 1, -1)


def test_same_is_what_xla_calls_so_and_half_is_half_the_kernel():
    for size, kernel, stride in itertools.product(range(1, 18), range(1, 8), range(1, 5)):
        (expected,) = lax.padtype_to_pads((size,), (kernel,), (stride,), "SAME")
        assert edge_padding(size, kernel, stride, "same") == expected
        assert edge_padding(size, kernel, stride, "half") == (kernel // 2, kernel // 2)


@pytest.mark.parametrize("platform", ["cpu", "gpu", "portable"])
@pytest.mark.parametrize(("side", "stride"), [(7, 2), (3, 2), (1, 2), (1, 1), (3, 1)])
def test_clips_are_convolved_as_tensorflow_does(side, stride, platform):
    x = RNG.standard_normal((2, 5, 8, 7, 3)).astype(np.float32)
    kernel = RNG.standard_normal((side, side, side, 3, 4)).astype(np.float32)
    weight = torch.tensor(kernel.transpose(4, 3, 0, 1, 2))
    expected = from_torch(
        torch.nn.functional.conv3d(padded_for_torch(x, (side,) * 3, (stride,) * 3), weight, stride=stride)
    )
    convolve = functools.partial(clip_convolution, stride=stride, temporal_stride=stride, padding="same")
    with target_platform(platform):
        found = jax.jit(convolve)(x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("window", "strides"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))],
)
def test_the_maximum_of_clips_and_its_gradient_are_those_of_tensorflow(window, strides, platform):
    # Above 0, where the authors' padding by 0 is that by minus infinity.
    x = RNG.uniform(0.1, 1, (2, 5, 8, 7, 3)).astype(np.float32)
    padded = padded_for_torch(x, window, strides).requires_grad_()
    pooled = torch.nn.functional.max_pool3d(padded, window, strides)
    cotangent = RNG.standard_normal(pooled.shape).astype(np.float32)
    pooled.backward(torch.tensor(cotangent))

    def pull_back(x, cotangent):
        y, back = jax.vjp(lambda x: max_pool_clips(x, window, strides), x)
        return y, back(cotangent)[0]

    with target_platform(platform):
        y, gradient = jax.jit(pull_back)(x, from_torch(torch.tensor(cotangent)))
    np.testing.assert_array_equal(y, from_torch(pooled))
    fronts = [edge_padding(*sizes, "same")[0] for sizes in zip(x.shape[1:4], window, strides, strict=True)]
    inside = tuple(slice(front, front + size) for front, size in zip(fronts, x.shape[1:4], strict=True))
    np.testing.assert_allclose(gradient, from_torch(padded.grad)[:, *inside], atol=1e-6)
