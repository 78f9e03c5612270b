import dataclasses

import numpy as np
import pytest

from motion_vit.data.embedded.cyclic_texture import CyclicTexture, noise_tiles, sample_noise

GRID = np.meshgrid(np.linspace(-0.5, 0.5, 48, dtype=np.float32), np.linspace(-0.5, 0.5, 48, dtype=np.float32))


def test_noise_repeats_without_seam_after_eight_wavelengths():
    tile = noise_tiles(np.random.default_rng(0), 1)[0]
    x, y = GRID
    here = sample_noise(tile, x, y, wavelength=0.25)
    np.testing.assert_allclose(sample_noise(tile, x + 2.0, y - 4.0, wavelength=0.25), here, atol=0.1)
    around = np.concatenate([tile, tile[:, :1]], axis=1)
    assert np.abs(np.diff(around, axis=1))[:, -1].max() < 1.5


def test_noise_has_no_mean_and_unit_contrast():
    tiles = noise_tiles(np.random.default_rng(0), 4)
    np.testing.assert_allclose(tiles.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(tiles.std(axis=(1, 2)), 1, rtol=1e-5)


def test_contrast_does_not_tell_the_zoom():
    random = np.random.default_rng(1)
    textures = [CyclicTexture.draw(random, 0.15) for _ in range(150)]
    contrasts = [np.std([texture.sample(*GRID, zoom) for texture in textures]) for zoom in (-3.3, 0, 0.25, 0.5, 7.75)]
    assert contrasts == pytest.approx([np.mean(contrasts)] * len(contrasts), rel=0.03)
    assert np.mean(contrasts) == pytest.approx(1.0, abs=0.1)


def test_zooming_one_octave_is_the_same_as_moving_every_tile_up_an_octave():
    texture = CyclicTexture.draw(np.random.default_rng(2), 0.25)
    moved = dataclasses.replace(texture, tiles=np.roll(texture.tiles, 1, axis=0))
    np.testing.assert_allclose(texture.sample(*GRID, 1.3), moved.sample(*GRID, 0.3), atol=1e-6)


def test_zooming_makes_the_pattern_larger():
    texture = CyclicTexture.draw(np.random.default_rng(3), 0.25)
    x, y = GRID
    before, after = texture.sample(x, y, 0.0), texture.sample(x * 2**0.3, y * 2**0.3, 0.3)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8
    assert np.corrcoef(before.ravel(), texture.sample(x, y, 0.3).ravel())[0, 1] < 0.8
