"""The colour operations: Pillow's result on every frame, to the last bit but where a grey level is rounded."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from motion_vit.data.augmentation import color_ops

SIZES = [(37, 53), (3, 5), (2, 2), (1, 1), (1, 400)]
FACTORS = [0.1, 0.37, 1.0, 1.63, 1.9, 3.0]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def clip(request):
    """Four frames that differ in range and colour, the last one of a single colour."""
    height, width = request.param
    rng = np.random.default_rng(height * width)
    frames = [rng.integers(30, 200, (height, width, 3)), rng.integers(0, 256, (height, width, 3))]
    # Nearly all pixels alike: the histogram that equalizing has least to work with.
    frames.append(np.where(rng.random((height, width, 1)) < 0.97, 80, rng.integers(0, 256, (height, width, 3))))
    frames.append(np.broadcast_to([10, 130, 255], (height, width, 3)))
    return np.stack(frames).astype(np.uint8)


def pillow_solarize_add(image, amount):
    return image.point([min(255, level + amount) if level < 128 else level for level in range(256)] * 3)


def on_every_frame(operation, clip):
    return np.stack([np.asarray(operation(Image.fromarray(frame))) for frame in clip])


@pytest.mark.parametrize("name", ["autocontrast", "equalize", "invert"])
def test_an_operation_without_strength_is_pillows(name, clip):
    expected = on_every_frame(getattr(ImageOps, name), clip)
    np.testing.assert_array_equal(getattr(color_ops, name)(clip), expected)


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(bits, clip):
    expected = on_every_frame(lambda image: ImageOps.posterize(image, bits), clip)
    np.testing.assert_array_equal(color_ops.posterize(clip, bits), expected)


def test_posterize_to_no_bits_is_black_and_to_more_than_there_are_changes_nothing(clip):
    assert not color_ops.posterize(clip, 0).any()
    assert not color_ops.posterize(clip, -2).any()
    np.testing.assert_array_equal(color_ops.posterize(clip, 10), clip)


@pytest.mark.parametrize("threshold", [-20, 0, 1, 128, 255, 256])
def test_solarize_is_pillows(threshold, clip):
    expected = on_every_frame(lambda image: ImageOps.solarize(image, threshold), clip)
    np.testing.assert_array_equal(color_ops.solarize(clip, threshold), expected)


@pytest.mark.parametrize("amount", [0, 77, 110, 330])
def test_solarize_add_brightens_the_levels_below_128_as_in_timm(amount, clip):
    expected = on_every_frame(lambda image: pillow_solarize_add(image, amount), clip)
    np.testing.assert_array_equal(color_ops.solarize_add(clip, amount), expected)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("operation", "enhancer"),
    [(color_ops.brightness, ImageEnhance.Brightness), (color_ops.sharpness, ImageEnhance.Sharpness)],
)
def test_brightness_and_sharpness_are_pillows(operation, enhancer, factor, clip):
    expected = on_every_frame(lambda image: enhancer(image).enhance(factor), clip)
    np.testing.assert_array_equal(operation(clip, factor), expected)


@pytest.mark.parametrize("factor", [factor for factor in FACTORS if factor < 2])
@pytest.mark.parametrize(
    ("operation", "enhancer"), [(color_ops.contrast, ImageEnhance.Contrast), (color_ops.color, ImageEnhance.Color)]
)
def test_contrast_and_color_are_pillows_to_one_level(operation, enhancer, factor, clip):
    difference = operation(clip, factor) - on_every_frame(lambda image: enhancer(image).enhance(factor), clip).astype(
        int
    )
    assert abs(difference).max() <= 1


def test_color_differs_from_pillow_in_few_pixels_of_a_photograph_size_clip():
    clip = np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), np.uint8)
    expected = on_every_frame(lambda image: ImageEnhance.Color(image).enhance(1.63), clip)
    assert (color_ops.color(clip, 1.63) != expected).mean() < 0.005


def test_what_is_measured_in_a_frame_does_not_depend_on_the_other_frames(clip):
    for operation in (color_ops.autocontrast, color_ops.equalize):
        np.testing.assert_array_equal(operation(clip)[1:2], operation(clip[1:2]))
    np.testing.assert_array_equal(color_ops.contrast(clip, 0.4)[1:2], color_ops.contrast(clip[1:2], 0.4))
    np.testing.assert_array_equal(color_ops.sharpness(clip, 0.4)[1:2], color_ops.sharpness(clip[1:2], 0.4))
