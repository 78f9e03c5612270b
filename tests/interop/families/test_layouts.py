"""The layouts of weights: both directions agree."""

import numpy as np
import pytest

from motion_vit.interop.families import layouts

SHAPES = {
    "SAME": (2, 3),
    "LINEAR": (2, 3),
    "NUMBER": (),
    "POINTWISE": (2, 3),
    "CONVOLUTION": (2, 3, 5, 7, 11),
    "CONVOLUTION_OF_FRAMES": (2, 3, 5, 7),
    "DEPTHWISE": (2, 3, 5, 7),
    "FRAME_CONVOLUTION": (2, 3, 5, 7),
    "FRAME_POINTWISE": (2, 3),
    "FRAME_DEPTHWISE": (1, 2, 3, 5),
    "FRAME_PATCHES": (1, 2, 3, 5, 7),
    "TEMPORAL_CONVOLUTION": (2, 3, 5),
    "TEMPORAL_POINTWISE": (2, 3),
    "CLASS_TOKEN": (2,),
    "EMBEDDING": (2, 3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_both_directions_of_a_layout_undo_each_other(name):
    layout = getattr(layouts, name)
    weight = np.arange(np.prod(SHAPES[name])).reshape(SHAPES[name])
    there = layout.to_torch(weight)
    assert there.shape == layout.torch_shape(SHAPES[name])
    np.testing.assert_array_equal(layout.to_flax(there), weight)
    np.testing.assert_array_equal(layout.to_torch(layout.to_flax(there)), there)


def test_no_layout_is_left_out():
    assert {name for name, value in vars(layouts).items() if isinstance(value, layouts.Layout)} == set(SHAPES)
