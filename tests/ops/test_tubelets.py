"""Clips are cut into tubelets and put together again."""

import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.ops.tubelets import clips_of_tubelets, tubelet_pixels

SIZE = (2, 3, 5)


def test_tubelets_hold_their_pixels_in_order_and_make_the_clip_again() -> None:
    clips = jnp.asarray(np.arange(2 * 4 * 6 * 10 * 3, dtype=np.float32).reshape(2, 4, 6, 10, 3))
    pixels = tubelet_pixels(clips, SIZE)
    assert pixels.shape == (2, 2, 4, 30, 3)
    # The last place of the second frame of tubelets: frames 2 and 3, rows 3 to 5, columns 5 to 9.
    np.testing.assert_array_equal(pixels[1, 1, 3], clips[1, 2:, 3:, 5:].reshape(30, 3))
    np.testing.assert_array_equal(clips_of_tubelets(pixels, SIZE, rows_of_tubelets=2), clips)


def test_clips_of_no_whole_number_of_tubelets_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number of tubelets of 2 x 3 x 5"):
        tubelet_pixels(jnp.zeros((1, 4, 6, 11, 3)), SIZE)
