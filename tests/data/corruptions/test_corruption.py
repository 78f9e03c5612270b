"""What corruptions do to clips, and what they are asked for by name."""

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.corruptions.corruption import CORRUPTIONS, Corruption, parse_corruptions, parse_severities

RANDOM_IN_EACH_FRAME = ("gaussian_noise", "shot_noise", "impulse_noise", "salt_noise", "pepper_noise", "rain")
DRAWS = {*RANDOM_IN_EACH_FRAME, "motion_blur"}


def still_clip(frames: int = 3) -> np.ndarray:
    """The same textured picture in every frame, of odd width."""
    rows, columns = np.mgrid[:80, :99]
    picture = np.stack([6 * columns % 256, 5 * rows % 256, 128 + 100 * np.sin(rows * columns / 200)], axis=-1)
    return np.repeat(picture.astype(np.uint8)[None], frames, axis=0)


def grey_clip(level: int) -> np.ndarray:
    return np.full((2, 64, 64, 3), level, np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_with_its_severity_and_depends_on_its_place_alone(name: str) -> None:
    clip = still_clip()
    before = clip.copy()
    changes = []
    for severity in range(1, 6):
        corrupted = Corruption(name, severity)(clip, [3, 0])
        assert (corrupted.dtype, corrupted.shape) == (np.uint8, clip.shape)
        changes.append(np.abs(corrupted.astype(float) - clip).mean())
    assert changes[0] > 1
    assert changes == sorted(changes)
    assert changes[4] > 1.5 * changes[0]
    np.testing.assert_array_equal(clip, before)
    np.testing.assert_array_equal(Corruption(name, 5)(clip, [3, 0]), corrupted)
    elsewhere, other_seed = Corruption(name, 5)(clip, [4, 0]), Corruption(name, 5, seed=1)(clip, [3, 0])
    assert (elsewhere != corrupted).any() == (other_seed != corrupted).any() == (name in DRAWS)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"h265_abr"}))
def test_noise_and_rain_change_from_frame_to_frame_and_nothing_else_does(name: str) -> None:
    first, second, _ = Corruption(name, 3)(still_clip(), [0, 0])
    assert (first != second).any() == (name in RANDOM_IN_EACH_FRAME)


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (2, 0.12)])
def test_gaussian_noise_has_the_deviation_of_imagenet_c(severity: int, deviation: float) -> None:
    noisy = Corruption("gaussian_noise", severity)(grey_clip(128), [0])
    assert noisy.std() == pytest.approx(255 * deviation, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=1)


def test_shot_noise_has_the_variance_of_counted_photons() -> None:
    noisy = Corruption("shot_noise", 1)(grey_clip(85), [0]) / 255
    assert noisy.mean() == pytest.approx(1 / 3, rel=0.02)
    assert noisy.var() == pytest.approx((1 / 3) / 60, rel=0.05)


@pytest.mark.parametrize(
    ("name", "black", "white"), [("salt_noise", 0, 0.27), ("pepper_noise", 0.27, 0), ("impulse_noise", 0.135, 0.135)]
)
def test_salt_is_white_pepper_black_and_impulses_are_both(name: str, black: float, white: float) -> None:
    noisy = Corruption(name, 5)(grey_clip(100), [0])
    assert set(np.unique(noisy)) <= {0, 100, 255}
    assert np.mean(noisy == 0) == pytest.approx(black, abs=0.01)
    assert np.mean(noisy == 255) == pytest.approx(white, abs=0.01)


def test_contrast_keeps_the_mean_of_each_colour_and_shrinks_what_is_around_it() -> None:
    clip = still_clip()
    flat = Corruption("contrast", 2)(clip, [0])
    np.testing.assert_allclose(flat.mean(axis=(1, 2)), clip.mean(axis=(1, 2)), atol=0.3)
    np.testing.assert_allclose(flat.std(axis=(1, 2)), 0.3 * clip.std(axis=(1, 2)), rtol=0.02)


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "zoom_blur"])
def test_blur_leaves_a_flat_picture_as_it_is(name: str) -> None:
    np.testing.assert_array_equal(Corruption(name, 5)(grey_clip(77), [0]), grey_clip(77))


@pytest.mark.parametrize(("side", "radius"), [(224, 10), (112, 5)])
def test_light_out_of_focus_comes_as_far_as_the_radius_which_scales_with_the_frames(side: int, radius: int) -> None:
    middle = side // 2
    half = np.zeros((1, side, side, 3), np.uint8)
    half[0, :, middle:] = 255
    reached = np.flatnonzero(Corruption("defocus_blur", 5)(half, [0])[0, middle, :, 0])
    assert middle - reached.min() == pytest.approx(radius, abs=1)


def test_a_moving_camera_smears_a_line_to_one_side() -> None:
    clip = np.zeros((1, 224, 224, 3), np.uint8)
    clip[0, :, 112] = 255
    smeared = Corruption("motion_blur", 5)(clip, [0])[0, 112, :, 0].astype(int)
    left, right = smeared[:111].sum(), smeared[114:].sum()
    assert min(left, right) == 0
    assert max(left, right) > 100


def test_h265_takes_the_smallest_frames_and_single_ones() -> None:
    assert Corruption("h265_abr", 5)(still_clip(1)[:, :17, :23], [0]).shape == (1, 17, 23, 3)


def test_an_encoder_that_is_missing_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", {"h264"})
    with pytest.raises(UserError, match="h265_abr needs FFmpeg's encoder libx265"):
        Corruption("h265_abr", 1)


def test_names_and_severities_are_read_from_texts() -> None:
    assert parse_corruptions("all") == tuple(CORRUPTIONS)
    assert len(CORRUPTIONS) == 12
    assert parse_corruptions("rain, contrast") == ("rain", "contrast")
    assert parse_severities("all") == (1, 2, 3, 4, 5)
    assert parse_severities("5,1") == (1, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no corruption is named; give all, or some of gaussian_noise"),
        (" , ", "no corruption is named"),
        ("gausian_noise", r"no corruption 'gausian_noise'\. Did you mean 'gaussian_noise'\? They are: "),
        ("fog", "no corruption 'fog'"),
        ("rain,rain", "the corruption rain is given twice"),
    ],
)
def test_a_wrong_name_is_told_with_those_there_are(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_corruptions(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no severity is given; give all, or some numbers from 1 to 5"),
        ("0", "given as '0', but must be a whole number from 1 to 5, or all"),
        ("1,6", "given as '6'"),
        ("1,two", "given as 'two'"),
        ("3,3", "the severity 3 is given twice"),
    ],
)
def test_a_wrong_severity_is_told_with_those_there_are(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_severities(text)


@pytest.mark.mistyped
def test_a_severity_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"corruption rain: severity is 2\.5, but must be a whole number"):
        Corruption("rain", 2.5)
