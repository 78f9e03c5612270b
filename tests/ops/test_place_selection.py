"""Chosen places of frames of tokens: taken in their order, and marked among all."""

import jax.numpy as jnp
import numpy as np

from motion_vit.ops.place_selection import places_mask, take_places

CHOSEN = jnp.array([[[3, 0], [1, 2]]])


def test_places_are_taken_in_the_order_in_which_they_are_chosen() -> None:
    tokens = jnp.arange(24.0).reshape(1, 2, 4, 3)
    found = take_places(tokens, CHOSEN)
    np.testing.assert_array_equal(found[0, 0], [[9, 10, 11], [0, 1, 2]])
    np.testing.assert_array_equal(found[0, 1], [[15, 16, 17], [18, 19, 20]])


def test_chosen_places_are_marked_and_no_others() -> None:
    expected = [[[True, False, False, True, False], [False, True, True, False, False]]]
    np.testing.assert_array_equal(places_mask(CHOSEN, 5), expected)
