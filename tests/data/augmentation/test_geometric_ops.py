"""The geometric operations: Pillow's matrices, fill and interpolation; rotation within OpenCV's bicubic."""

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_vit.data.augmentation import geometric_ops

FILL = (128, 128, 128)
SIZES = [(37, 53), (53, 37), (3, 5), (1, 1)]
FACTORS = [-0.3, -0.11, 0.0, 0.21, 0.3]
SHARES = [-1.2, -0.45, -0.31, 0.0, 0.013, 0.25, 0.45]


def random_clip(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (3, height, width, 3), np.uint8)


def smooth_clip(height, width):
    """A picture whose detail is larger than a few pixels, as that of photographs."""
    small = np.random.default_rng(0).integers(0, 256, (height // 12, width // 12, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)[None]


def pillow_affine(clip, matrix):
    """Pillow's affine transform of every frame, as timm calls it."""
    frames = []
    for frame in clip:
        image = Image.fromarray(frame)
        moved = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=FILL)
        frames.append(np.asarray(moved))
    return np.stack(frames)


def assert_equal_to_one_level(actual, expected):
    """Floating-point sums that fall on a whole number are cut on either side of it."""
    assert actual.dtype == np.uint8
    difference = abs(actual.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", FACTORS)
def test_shears_are_pillows(factor, size):
    clip = random_clip(*size)
    assert_equal_to_one_level(geometric_ops.shear_x(clip, factor), pillow_affine(clip, (1, factor, 0, 0, 1, 0)))
    assert_equal_to_one_level(geometric_ops.shear_y(clip, factor), pillow_affine(clip, (1, 0, 0, factor, 1, 0)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", SHARES)
def test_translations_are_pillows(share, size):
    clip = random_clip(*size)
    height, width = size
    moved = geometric_ops.translate_x(clip, share)
    assert_equal_to_one_level(moved, pillow_affine(clip, (1, 0, share * width, 0, 1, 0)))
    moved = geometric_ops.translate_y(clip, share)
    assert_equal_to_one_level(moved, pillow_affine(clip, (1, 0, 0, 0, 1, share * height)))


def test_a_translation_by_whole_pixels_moves_them_unchanged_and_leaves_grey():
    clip = random_clip(8, 20)
    moved = geometric_ops.translate_x(clip, 0.25)
    np.testing.assert_array_equal(moved[:, :, :15], clip[:, :, 5:])
    assert (moved[:, :, 15:] == 128).all()
    moved = geometric_ops.translate_y(clip, -0.25)
    np.testing.assert_array_equal(moved[:, 2:], clip[:, :6])
    assert (moved[:, :2] == 128).all()


@pytest.mark.parametrize("degrees", [-30, -11.3, 4, 21, 30])
def test_rotation_is_pillows_within_the_two_bicubic_kernels(degrees):
    clip = smooth_clip(120, 200)
    image = Image.fromarray(clip[0])
    expected = np.asarray(image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=FILL)).astype(int)
    difference = abs(geometric_ops.rotate(clip, degrees)[0] - expected)
    # Half a level is Pillow's cutting of fractions. Along the frame's border OpenCV mixes pixels with the grey fill.
    assert difference[30:90, 60:140].mean() < 0.6
    if int(cv2.__version__.split(".")[0]) >= 5:  # older ones round places to a 32nd of a pixel
        assert difference.mean() < 0.8
    assert np.median(difference) <= 1
    assert (difference > 4).mean() < 0.02


def test_rotation_turns_counterclockwise_around_the_centre():
    clip = random_clip(9, 9)
    np.testing.assert_array_equal(geometric_ops.rotate(clip, 90), np.rot90(clip, axes=(1, 2)))
    np.testing.assert_array_equal(geometric_ops.rotate(clip, 0), clip)


@pytest.mark.parametrize(
    "operation",
    [
        geometric_ops.shear_x,
        geometric_ops.shear_y,
        geometric_ops.translate_x,
        geometric_ops.translate_y,
        geometric_ops.rotate,
    ],
)
def test_a_grey_clip_stays_grey_with_no_seam_between_picture_and_fill(operation):
    clip = np.full((2, 30, 40, 3), 128, np.uint8)
    assert (operation(clip, 0.27) == 128).all()
