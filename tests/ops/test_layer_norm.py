import jax
import numpy as np
import pytest
from flax import linen as nn

from motion_vit.ops.layer_norm import layer_norm


@pytest.mark.parametrize("shape", [(7,), (3, 5, 7)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_flaxs(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = jax.device_put((3 * rng.standard_normal(shape) + 1).astype(jax.numpy.dtype(dtype)))
    scale, bias = jax.device_put(rng.standard_normal((2, 7), np.float32))
    found = layer_norm(x, scale, bias, epsilon=1e-3)
    flax = jax.jit(nn.LayerNorm(1e-3).apply)
    expected = flax({"params": {"scale": scale, "bias": bias}}, x.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_tokens_that_are_nearly_constant_give_finite_numbers_and_gradients() -> None:
    # The mean of squares less the square of the mean is below zero here, by rounding, and below minus epsilon.
    x = jax.device_put(np.float32(1000.1) + np.zeros((50, 7), np.float32) + np.arange(50, dtype=np.float32)[:, None])
    scale, bias = jax.device_put(np.ones((2, 7), np.float32))
    normalized, gradient = jax.value_and_grad(lambda x: layer_norm(x, scale, bias, epsilon=1e-6).sum())(x)
    assert np.isfinite(normalized)
    assert np.isfinite(gradient).all()
