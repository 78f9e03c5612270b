import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.inputs.normalization import Normalization, normalization
from motion_vit.training.recipe.checks import validate_fields

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 2, 3, 4, 3), np.uint8)


def test_a_model_of_bgr_sees_blue_first_normalised_as_blue(pixels: np.ndarray) -> None:
    inputs = np.asarray(Normalization(MEAN, STD, "bgr")(jnp.asarray(pixels)))
    np.testing.assert_allclose(inputs[..., 0], (pixels[..., 2] / 255 - 0.6) / 0.3, rtol=1e-5)
    np.testing.assert_allclose(inputs[..., 2], (pixels[..., 0] / 255 - 0.4) / 0.2, rtol=1e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_pictures_of_inputs_have_the_colours_of_the_video(pixels: np.ndarray, order: str) -> None:
    normalize = Normalization(MEAN, STD, order)
    np.testing.assert_array_equal(normalize.denormalise(normalize(jnp.asarray(pixels))), pixels)


def test_the_recipe_chooses_the_order(tiny_config: ConfigDict) -> None:
    assert normalization(tiny_config).channel_order == "rgb"
    tiny_config.data.channel_order = "bgr"
    assert normalization(tiny_config).channel_order == "bgr"
    tiny_config.data.channel_order = "grb"
    with pytest.raises(UserError, match=r"data\.channel_order is 'grb', but must be one of rgb, bgr"):
        validate_fields(tiny_config)
