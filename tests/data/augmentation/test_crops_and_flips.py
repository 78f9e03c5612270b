"""Augmentation: one draw for all frames, uint8 throughout, and the crops of a test in their places."""

import numpy as np
import pytest

from motion_vit.data.augmentation.crops import crop_views, multi_scale_crop, random_resized_crop, resize_short_side
from motion_vit.data.augmentation.flips import (
    describe_flip,
    mirrored_labels,
    random_horizontal_flip,
    random_label_aware_flip,
    unpaired_sides,
)

TSN_SCALES = (1, 0.875, 0.75, 0.66)

RANDOM_TRANSFORMS = {
    "random_resized_crop": lambda clip, rng: random_resized_crop(clip, 16, (0.1, 1.0), (0.75, 4 / 3), rng),
    "multi_scale_crop": lambda clip, rng: multi_scale_crop(clip, 16, TSN_SCALES, rng),
    "random_horizontal_flip": random_horizontal_flip,
    "random_label_aware_flip": lambda clip, rng: random_label_aware_flip(clip, 0, np.array([1, 0]), rng)[0],
}


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


def multi_scale_box(crop):
    """The box (top, left, height, width) that a crop of a ramp, large enough for exact borders, was cut from."""
    first, last = np.round(crop[0, 0, 0, :2] / 5), np.round(crop[0, -1, -1, :2] / 5)
    return (*first.astype(int).tolist(), *(last - first + 1).astype(int).tolist())


def test_multi_scale_crops_have_the_sizes_and_places_of_tsn():
    clip = ramp_clip(1, 40, 48)
    boxes = {
        multi_scale_box(multi_scale_crop(clip, 64, TSN_SCALES, np.random.default_rng(seed))) for seed in range(2000)
    }
    # 40 times the scales, rounded down; neighbouring ones make a box.
    sides = [40, 35, 30, 26]
    shapes = {(sides[i], sides[j]) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    assert {box[2:] for box in boxes} == shapes
    # The room of 14 rows and 22 columns in quarters, rounded down to whole pixels: 3 and 5.
    places = {box[:2] for box in boxes if box[2:] == (26, 26)}
    corners_and_middles = {(top, left) for top in (0, 6, 12) for left in (0, 10, 20)}
    assert places == corners_and_middles | {(3, 5), (3, 15), (9, 5), (9, 15)}


def test_a_multi_scale_box_of_nearly_the_asked_size_is_not_resized():
    clip = np.random.default_rng(0).integers(0, 256, (1, 50, 50, 3), np.uint8)
    crop = multi_scale_crop(clip, 48, (1,), np.random.default_rng(0))
    windows = np.lib.stride_tricks.sliding_window_view(clip[0], (48, 48, 3)).reshape(-1, 48, 48, 3)
    assert (windows == crop[0]).all(axis=(1, 2, 3)).any()


def test_a_picture_a_little_smaller_than_the_asked_size_is_cropped_inside_it():
    for seed in range(20):
        crop = multi_scale_crop(ramp_clip(2, 15, 15), 16, (1,), np.random.default_rng(seed))
        assert multi_scale_box(crop) == (0, 0, 15, 15)


def test_a_crop_of_a_shape_that_a_single_pixel_cannot_have_is_the_pixel():
    crop = random_resized_crop(ramp_clip(2, 1, 1), 8, (0.1, 0.2), (0.1, 0.3), np.random.default_rng(0))
    assert crop.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("name", RANDOM_TRANSFORMS)
class TestEveryRandomTransform:
    def test_equal_frames_stay_equal(self, name):
        clip = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 30, 40, 3), np.uint8), 4, axis=0)
        for seed in range(10):
            transformed = RANDOM_TRANSFORMS[name](clip, np.random.default_rng(seed))
            assert (transformed == transformed[:1]).all()

    def test_the_seed_decides(self, name):
        clip = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
        first, second = ([RANDOM_TRANSFORMS[name](clip, np.random.default_rng(s)) for s in range(8)] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert any((first[0] != other).any() for other in first[1:])

    def test_the_given_clip_is_not_written_to_and_may_be_read_only(self, name):
        clip = ramp_clip(2, 30, 40)
        clip.flags.writeable = False
        for seed in range(4):
            assert RANDOM_TRANSFORMS[name](clip, np.random.default_rng(seed)).dtype == np.uint8
        np.testing.assert_array_equal(clip, ramp_clip(2, 30, 40))

    def test_a_flipped_view_is_taken_as_it_looks(self, name):
        view = ramp_clip(2, 30, 40)[:, :, ::-1]
        for seed in range(4):
            expected = RANDOM_TRANSFORMS[name](view.copy(), np.random.default_rng(seed))
            np.testing.assert_array_equal(RANDOM_TRANSFORMS[name](view, np.random.default_rng(seed)), expected)

    @pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 30), (30, 1)])
    def test_tiny_frames_are_taken(self, name, size):
        for seed in range(10):
            assert RANDOM_TRANSFORMS[name](ramp_clip(2, *size), np.random.default_rng(seed)).shape[0] == 2


def test_the_mirror_exchanges_left_and_right_in_the_names_of_classes():
    names = [
        "Pushing something from left to right",
        "Tearing something into two pieces",
        "Pushing something from right to left",
        "Turning the camera left while filming something",
        "Turning the camera right while filming something",
    ]
    assert mirrored_labels(names).tolist() == [2, 1, 0, 4, 3]


def test_the_mirror_exchanges_the_turns_of_a_clock_and_leaves_depth_alone():
    names = ["Swiping Left", "Rolling Hand Forward", "Turning Hand Counterclockwise", "Swiping Right"]
    names += ["Turning Hand Clockwise", "Rolling Hand Backward", "No gesture"]
    assert mirrored_labels(names).tolist() == [3, 1, 4, 0, 2, 5, 6]
    for spelling in ("anticlockwise", "Anti-clockwise", "counter-clockwise", "Counter clockwise"):
        assert mirrored_labels(["Turn clockwise", f"Turn {spelling}"]).tolist() == [1, 0]


def test_a_class_without_a_named_mirror_image_has_none():
    assert mirrored_labels(["Swiping left", "waving"]).tolist() == [-1, 1]
    assert mirrored_labels(["left hand before right hand", "clap"]).tolist() == [-1, 1]
    assert mirrored_labels(["turn left", "turn right", "turn Right"]).tolist() == [-1, 0, 0]


def test_each_spelling_of_a_pair_is_mirrored_to_its_own_spelling():
    pairs = [
        ("turn_left", "turn_right"),
        ("TurnLeft", "TurnRight"),
        ("turnLeft", "turnRight"),
        ("turn-left", "turn-right"),
    ]
    names = [name for pair in pairs for name in pair]
    assert mirrored_labels(names).tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert mirrored_labels(["TurnLeft", "wave", "turn_right"]).tolist() == [2, 1, 0]


def test_a_word_that_is_no_side_is_one_where_its_mirror_image_is():
    assert mirrored_labels(["swipe_upleft", "clap", "swipe_upright"]).tolist() == [2, 1, 0]
    assert mirrored_labels(["stand_upright", "clap"]).tolist() == [0, 1]


def test_classes_that_a_flip_treats_badly_or_not_at_all_are_named():
    names = ["turn_left", "turn_right", "swipeLeft", "wave"]
    assert unpaired_sides(names) == ["swipeLeft"]
    assert describe_flip("label_aware", names) == "never mirrored, for want of a class with the other side: 'swipeLeft'"
    assert "'turn_left', 'turn_right', 'swipeLeft'" in describe_flip("on", names)
    assert describe_flip("off", names) == describe_flip("on", ["wave"]) == describe_flip("label_aware", names[:2]) == ""
    assert describe_flip("label_aware", [f"left {n}" for n in range(12)]).endswith("'left 9' and 2 more")


def test_left_and_right_inside_other_words_are_not_mirrored():
    assert mirrored_labels(["bright light", "leftover food", "holding upright"]).tolist() == [0, 1, 2]


def test_a_label_aware_flip_mirrors_the_clip_and_its_label_together():
    clip, mirrored = ramp_clip(2, 8, 10), np.array([1, 0, 2, -1])
    flips = np.zeros(4, int)
    for seed in range(200):
        for label, expected in enumerate([1, 0, 2]):
            flipped, new_label = random_label_aware_flip(clip, label, mirrored, np.random.default_rng(seed))
            is_flipped = bool(flipped[0, 0, 0, 1])
            flips[label] += is_flipped
            assert new_label == (expected if is_flipped else label)
            np.testing.assert_array_equal(flipped, clip[:, :, ::-1] if is_flipped else clip)
    assert (flips[:3] > 70).all()
    assert (flips[:3] < 130).all()


def test_a_clip_whose_class_has_no_mirror_image_is_never_flipped():
    clip = ramp_clip(2, 8, 10)
    for seed in range(50):
        same, label = random_label_aware_flip(clip, 1, np.array([0, -1]), np.random.default_rng(seed))
        assert label == 1
        np.testing.assert_array_equal(same, clip)


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
