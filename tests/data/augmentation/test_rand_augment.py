"""RandAugment: timm's strings, operations and strengths, one draw for all frames of a clip."""

import collections
import math

import numpy as np
import pytest

from motion_vit.data.augmentation.rand_augment import Operation, RandAugment, apply_operations, parse_rand_augment
from motion_vit.errors import UserError

RECIPE = "rand-m7-n4-mstd0.5-inc1"

# Operation -> the arguments that it takes at magnitude 7, by timm's level functions.
ORIGINAL_AT_7 = {
    "AutoContrast": [()],
    "Equalize": [()],
    "Invert": [()],
    "Rotate": [(-21,), (21,)],
    "Posterize": [(2,)],
    "Solarize": [(179,)],
    "SolarizeAdd": [(77,)],
    "Color": [(1.36,)],
    "Contrast": [(1.36,)],
    "Brightness": [(1.36,)],
    "Sharpness": [(1.36,)],
    "ShearX": [(-0.21,), (0.21,)],
    "ShearY": [(-0.21,), (0.21,)],
    "TranslateXRel": [(-0.315,), (0.315,)],
    "TranslateYRel": [(-0.315,), (0.315,)],
}
INCREASING_AT_7 = {
    "AutoContrast": [()],
    "Equalize": [()],
    "Invert": [()],
    "Rotate": [(-21,), (21,)],
    "PosterizeIncreasing": [(2,)],
    "SolarizeIncreasing": [(77,)],
    "SolarizeAdd": [(77,)],
    "ColorIncreasing": [(0.37,), (1.63,)],
    "ContrastIncreasing": [(0.37,), (1.63,)],
    "BrightnessIncreasing": [(0.37,), (1.63,)],
    "SharpnessIncreasing": [(0.37,), (1.63,)],
    "ShearX": [(-0.21,), (0.21,)],
    "ShearY": [(-0.21,), (0.21,)],
    "TranslateXRel": [(-0.315,), (0.315,)],
    "TranslateYRel": [(-0.315,), (0.315,)],
}
EVERY_OPERATION = [
    Operation(name, arguments) for name, choices in (ORIGINAL_AT_7 | INCREASING_AT_7).items() for arguments in choices
]


def drawn_operations(transform, clips=1500):
    rng = np.random.default_rng(0)
    return [operation for _ in range(clips) for operation in transform.draw(rng)]


def drawn_rotations(spec):
    """The degrees of all rotations among many draws: 3 for each magnitude."""
    found = [
        abs(arguments[0]) for name, arguments in drawn_operations(parse_rand_augment(spec), 3000) if name == "Rotate"
    ]
    assert len(found) > 100
    return np.array(found)


def random_clip(height=24, width=32):
    return np.random.default_rng(1).integers(0, 256, (4, height, width, 3), np.uint8)


def test_a_recipes_string_is_read():
    expected = RandAugment(magnitude=7, layers=4, probability=0.5, magnitude_std=0.5, max_magnitude=10, increasing=True)
    assert parse_rand_augment(RECIPE) == expected
    assert parse_rand_augment("rand-inc1-mstd0.5-n4-m7") == expected


def test_what_a_string_leaves_out_is_as_in_timm():
    expected = RandAugment(10, 2, 0.5, 0.0, 10, False)
    assert parse_rand_augment("rand") == expected
    assert parse_rand_augment("rand-inc0") == expected


@pytest.mark.parametrize("spec", ["rand-mstdinf", "rand-mstd101"])
def test_a_huge_deviation_means_a_uniform_magnitude(spec):
    assert parse_rand_augment(spec).magnitude_std == math.inf


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("", "it starts with ''"),
        ("randm7", "it starts with 'randm7'"),
        ("augmix-m5-w4", "only rand is supported"),
        ("original-mstd0.5", "only rand is supported"),
        ("rand-", "'' is no section"),
        ("rand-m", "'m' is no section"),
        ("rand-m-7", "'m' is no section"),
        ("rand-x3", "'x3' is no section"),
        ("rand-M7", "'M7' is no section"),
        ("rand-m7 ", "'m7 ' is no section"),
        ("rand-m7.5", "m takes a whole number"),
        ("rand-minf", "m takes a whole number"),
        ("rand-pinf", "p must be 0 to 1"),
        ("rand-n0", "n must be at least 1"),
        ("rand-p1.5", "p must be 0 to 1"),
        ("rand-inc2", "inc must be 0 to 1"),
        ("rand-mmax0", "mmax must be at least 1"),
        ("rand-w0", "weights are not supported"),
        ("rand-m7-m8", "second value"),
    ],
)
def test_a_string_that_is_not_understood_is_refused_with_what_is(spec, complaint):
    with pytest.raises(UserError) as caught:
        parse_rand_augment(spec)
    message = str(caught.value)
    assert repr(spec) in message
    assert complaint in message
    assert "rand-m7-n4-mstd0.5-inc1" in message


@pytest.mark.parametrize(("spec", "expected"), [("rand-m7-n4", ORIGINAL_AT_7), ("rand-m7-n4-inc1", INCREASING_AT_7)])
def test_operations_and_strengths_are_those_of_timm(spec, expected):
    found = collections.defaultdict(set)
    for name, arguments in drawn_operations(parse_rand_augment(spec)):
        found[name].add(arguments)
    assert sorted(found) == sorted(expected)
    for name, choices in expected.items():
        np.testing.assert_allclose(sorted(found[name]), choices, rtol=1e-12, err_msg=name)


def test_every_operation_and_direction_is_drawn_equally_often_and_half_are_applied():
    clips = 3000
    found = drawn_operations(parse_rand_augment("rand-m7-n4-inc1"), clips)
    assert abs(len(found) / (4 * clips) - 0.5) < 0.03
    counts = collections.Counter(name for name, _ in found)
    assert min(counts.values()) > 0.8 * len(found) / 15
    assert max(counts.values()) < 1.2 * len(found) / 15
    left = sum(arguments[0] > 0 for name, arguments in found if name == "TranslateXRel")
    assert abs(left / counts["TranslateXRel"] - 0.5) < 0.1


@pytest.mark.parametrize(("probability", "count"), [(0, 0), (1, 3)])
def test_the_probability_decides_how_many_are_applied(probability, count):
    transform = parse_rand_augment(f"rand-n3-p{probability}")
    assert len(drawn_operations(transform, 20)) == 20 * count


def test_magnitudes_are_normal_around_the_given_one_and_clipped_to_ten():
    magnitudes = drawn_rotations("rand-m7-n4-mstd0.5") / 3
    assert abs(magnitudes.mean() - 7) < 0.1
    assert abs(magnitudes.std() - 0.5) < 0.06
    magnitudes = drawn_rotations("rand-m9-n4-mstd2") / 3
    assert magnitudes.max() == pytest.approx(10)
    assert 0.2 < (magnitudes > 9.999).mean() < 0.4
    assert drawn_rotations("rand-m1-n4-mstd5").min() == 0


def test_magnitudes_are_uniform_for_an_infinite_deviation():
    magnitudes = drawn_rotations("rand-m8-n4-mstdinf") / 3
    assert 0 <= magnitudes.min() < 0.3
    assert 7.7 < magnitudes.max() <= 8
    assert abs(magnitudes.mean() - 4) < 0.3


def test_magnitudes_above_ten_need_a_greater_greatest_magnitude():
    assert drawn_rotations("rand-m15-n4").max() == pytest.approx(30)
    assert drawn_rotations("rand-m15-n4-mmax20").max() == pytest.approx(45)


def test_the_same_seed_gives_the_same_clip_and_others_give_others():
    transform, clip = parse_rand_augment(RECIPE), random_clip()
    clips = [transform(clip, np.random.default_rng(seed)) for seed in (3, 3, 4, 5)]
    np.testing.assert_array_equal(clips[0], clips[1])
    assert any((clips[0] != other).any() for other in clips[2:])


def test_a_call_applies_what_is_drawn():
    transform, clip = parse_rand_augment(RECIPE), random_clip()
    for seed in range(5):
        operations = transform.draw(np.random.default_rng(seed))
        expected = apply_operations(clip, operations)
        np.testing.assert_array_equal(transform(clip, np.random.default_rng(seed)), expected)


def test_a_clip_without_any_operation_is_given_back():
    clip = random_clip()
    assert apply_operations(clip, ()) is clip


def test_operations_are_applied_in_the_order_drawn():
    clip = np.full((1, 2, 2, 3), 100, np.uint8)
    brightened, inverted = Operation("Brightness", (1.5,)), Operation("Invert", ())
    assert (apply_operations(clip, (brightened, inverted)) == 105).all()
    assert (apply_operations(clip, (inverted, brightened)) == 232).all()


@pytest.mark.parametrize("operation", EVERY_OPERATION, ids=str)
class TestEveryOperation:
    def test_equal_frames_stay_equal(self, operation):
        clip = np.repeat(random_clip()[:1], 5, axis=0)
        augmented = apply_operations(clip, (operation,))
        assert (augmented == augmented[:1]).all()

    def test_frames_keep_their_order(self, operation):
        clip = random_clip()
        backwards = apply_operations(clip[::-1], (operation,))
        np.testing.assert_array_equal(apply_operations(clip, (operation,))[::-1], backwards)

    def test_the_given_clip_is_not_written_to_and_may_be_read_only(self, operation):
        clip = random_clip()
        clip.flags.writeable = False
        augmented = apply_operations(clip, (operation,))
        np.testing.assert_array_equal(clip, random_clip())
        assert not np.shares_memory(augmented, clip)

    def test_a_flipped_view_of_a_crop_is_taken_as_it_looks(self, operation):
        view = random_clip(40, 50)[:, 3:30, 40:5:-1]
        expected = apply_operations(view.copy(), (operation,))
        np.testing.assert_array_equal(apply_operations(view, (operation,)), expected)

    @pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 7), (7, 1)])
    def test_tiny_frames_keep_their_shape(self, operation, size):
        augmented = apply_operations(random_clip(*size), (operation,))
        assert augmented.shape == (4, *size, 3)
        assert augmented.dtype == np.uint8
