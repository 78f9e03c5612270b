"""Augmentation: one draw for all frames, uint8 throughout, and the crops of a test in their places."""

import numpy as np
import pytest

from motion_vit.data.augmentation import crop_views, random_horizontal_flip, random_resized_crop, resize_short_side


def ramp_clip(frames, height, width):
    """Pixel (row, column) of every frame is (5 * row, 5 * column, frame)."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = 5 * np.arange(height)[:, None]
    clip[..., 1] = 5 * np.arange(width)
    clip[..., 2] = np.arange(frames)[:, None, None]
    return clip


def test_a_random_crop_is_the_same_box_in_every_frame():
    clip = ramp_clip(4, 30, 50)
    for seed in range(20):
        crop = random_resized_crop(clip, 16, (0.1, 1.0), (0.75, 4 / 3), np.random.default_rng(seed))
        assert crop.shape == (4, 16, 16, 3)
        assert crop.dtype == np.uint8
        assert (crop[:, ..., :2] == crop[:1, ..., :2]).all()
        assert (crop[..., 2] == np.arange(4)[:, None, None]).all()


def test_random_crops_cover_the_asked_shares_and_shapes():
    clip = ramp_clip(1, 50, 50)
    areas, shapes = [], []
    for seed in range(400):
        crop = random_resized_crop(clip, 40, (0.2, 0.6), (0.5, 2.0), np.random.default_rng(seed))[0].astype(float)
        height = (crop[-1, 0, 0] - crop[0, 0, 0]) / 5 + 1
        width = (crop[0, -1, 1] - crop[0, 0, 1]) / 5 + 1
        areas.append(height * width / 2500)
        shapes.append(width / height)
    assert 0.17 < min(areas) < 0.23
    assert 0.55 < max(areas) < 0.65
    assert 0.45 < min(shapes) < 0.6
    assert 1.7 < max(shapes) < 2.2
    assert abs(np.mean(np.log(shapes))) < 0.05


def test_a_crop_of_the_whole_picture_at_its_own_size_changes_nothing():
    clip = ramp_clip(2, 24, 24)
    np.testing.assert_array_equal(random_resized_crop(clip, 24, (1, 1), (1, 1), np.random.default_rng(0)), clip)


def test_a_picture_too_long_for_the_asked_shape_is_cropped_at_its_centre():
    crop = random_resized_crop(ramp_clip(1, 8, 50), 8, (1, 1), (1, 1), np.random.default_rng(0))
    np.testing.assert_array_equal(crop[0, 0, :, 1], 5 * np.arange(21, 29))


def test_half_of_the_clips_are_mirrored_whole():
    clip = ramp_clip(3, 8, 10)
    mirrored = 0
    for seed in range(200):
        flipped = random_horizontal_flip(clip, np.random.default_rng(seed))
        if flipped[0, 0, 0, 1]:
            mirrored += 1
            np.testing.assert_array_equal(flipped, clip[:, :, ::-1])
        else:
            np.testing.assert_array_equal(flipped, clip)
    assert 70 < mirrored < 130


@pytest.mark.parametrize(
    ("size", "shape"), [((30, 50), (12, 20)), ((50, 30), (20, 12)), ((12, 12), (12, 12)), ((5, 7), (12, 16))]
)
def test_the_short_side_gets_the_asked_length_and_the_shape_stays(size, shape):
    assert resize_short_side(ramp_clip(2, *size), 12).shape == (2, *shape, 3)


def test_three_crops_lie_left_centre_and_right_of_a_wide_picture():
    views = crop_views(ramp_clip(2, 10, 25), 10, 3)
    assert views.shape == (3, 2, 10, 10, 3)
    assert (views[:, 0, 0, 0, 1] // 5).tolist() == [0, 8, 15]
    assert not views[:, 0, 0, 0, 0].any()


def test_three_crops_lie_top_centre_and_bottom_of_a_tall_picture():
    views = crop_views(ramp_clip(2, 25, 12), 10, 3)
    assert (views[:, 0, 0, 0, 0] // 5).tolist() == [0, 8, 15]
    assert (views[:, 0, 0, 0, 1] // 5).tolist() == [1, 1, 1]


def test_a_single_crop_is_the_centre():
    assert (crop_views(ramp_clip(1, 20, 30), 10, 1)[0, 0, 0, 0] // 5).tolist() == [5, 10, 0]


@pytest.mark.parametrize(("size", "crops"), [(11, 1), (10, 2)])
def test_crops_that_do_not_fit_are_refused(size, crops):
    with pytest.raises(ValueError, match="crops"):
        crop_views(ramp_clip(1, 10, 20), size, crops)
