import jax
import numpy as np
import pytest
from jax import lax

from motion_vit.modules.patch_embedding import PatchEmbedding, PatchProjection


@pytest.mark.parametrize(("kernel_size", "stride"), [((3, 4, 4), 1), ((3, 4, 4), 2), ((1, 2, 2), 1)])
def test_the_projection_is_a_strided_convolution(kernel_size, stride):
    x = jax.device_put(np.random.default_rng(0).standard_normal((2, 5, 9, 11, 3)).astype(np.float32))
    layer = PatchProjection(6, kernel_size, stride)
    bias = jax.device_put(np.arange(6, dtype=np.float32))
    pad = kernel_size[0] // 2

    @jax.jit
    def run(key, x):
        params = layer.init(key, x)["params"]
        expected = lax.conv_general_dilated(
            x,
            params["kernel"],
            (stride, *kernel_size[1:]),
            [(pad, pad), (0, 0), (0, 0)],
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )
        return layer.apply({"params": params | {"bias": bias}}, x), expected

    actual, expected = run(jax.random.key(0), x)
    np.testing.assert_allclose(actual, np.asarray(expected) + np.asarray(bias), rtol=1e-5, atol=1e-5)


def test_embedded_patches_are_normalised_over_channels():
    x = jax.device_put(np.random.default_rng(0).standard_normal((1, 2, 8, 8, 3)).astype(np.float32))
    layer = PatchEmbedding(16, (3, 4, 4))
    output = np.asarray(jax.jit(layer.init_with_output)(jax.random.key(0), x)[0])
    np.testing.assert_allclose(output.mean(-1), 0, atol=1e-4)
    np.testing.assert_allclose(output.std(-1), 1, atol=1e-2)
