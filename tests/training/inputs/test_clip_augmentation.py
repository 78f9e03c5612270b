import dataclasses
import functools
import re
from collections.abc import Callable

import chex
import jax
import numpy as np
import pytest

from motion_vit.errors import UserError
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.parallel import mesh as meshes

NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
Augmented = tuple[jax.Array, jax.Array]
COLLECTIVE = re.compile(r"all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter")
ALL = ClipAugmentation(erasing_probability=0.5, mixup_alpha=0.8, cutmix_alpha=1.0)


def make_batch(clips: int = 16, size: int = 16) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.integers(0, 256, (clips, 4, size, size, 3), dtype=np.uint8),
        "label": rng.integers(0, 5, clips, dtype=np.int32),
        "weight": np.ones(clips, np.float32),
        "index": np.arange(clips, dtype=np.int32),
    }


def augmenter(augmentation: ClipAugmentation, groups: int = 1) -> Callable[..., Augmented]:
    return jax.jit(
        functools.partial(
            augment_batch,
            normalization=NORMALIZATION,
            augmentation=augmentation,
            num_classes=5,
            label_smoothing=0.1,
            groups=groups,
        )
    )


@functools.cache
def compiled(devices: int) -> Callable[..., Augmented]:
    """All augmentation in eight groups of `make_batch()`, split over so many devices."""
    batch = meshes.to_devices(make_batch(), meshes.data_mesh(jax.devices()[:devices]))
    return augmenter(ALL, groups=8).lower(batch, jax.random.key(0)).compile()


def augmented(key: int, devices: int = 8, **changed: np.ndarray) -> Augmented:
    batch = meshes.to_devices({**make_batch(), **changed}, meshes.data_mesh(jax.devices()[:devices]))
    return jax.device_get(compiled(devices)(batch, jax.random.key(key)))


def test_without_augmentation_clips_are_normalised_and_targets_smoothed() -> None:
    batch = make_batch()
    clips, targets = augmenter(NO_AUGMENTATION)(batch, jax.random.key(0))
    mean, std = np.array(NORMALIZATION.mean), np.array(NORMALIZATION.std)
    np.testing.assert_allclose(clips, (batch["clip"] / 255 - mean) / std, atol=1e-6)
    np.testing.assert_allclose(targets, 0.02 + 0.9 * np.eye(5)[batch["label"]], rtol=1e-6)


def test_augmented_targets_sum_to_one_and_keep_the_smoothing() -> None:
    for key in range(20):
        _, targets = augmented(key)
        np.testing.assert_allclose(targets.sum(axis=-1), 1, atol=1e-6)
        assert targets.min() == pytest.approx(0.02, rel=1e-5)


def test_erasing_comes_before_mixing() -> None:
    grey = np.full_like(make_batch()["clip"], 128)
    normalised = np.asarray(jax.jit(NORMALIZATION)(grey))
    strength = []
    for key in range(20):
        changes = np.abs(augmented(key, clip=grey)[0] - normalised)
        strength.append(np.sqrt(np.mean(changes[changes > 1e-3] ** 2)))
    # Cutmix leaves the noise as strong as it was; mixup weakens it, by the square root of 2 or more over both partners.
    weakened = np.array(strength) < 0.8
    assert 3 < weakened.sum() < 17
    np.testing.assert_allclose(np.array(strength)[~weakened], 1, atol=0.15)


def test_the_key_alone_decides() -> None:
    first, again, other = (augmented(key) for key in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    assert (first[0] != other[0]).any()


@pytest.mark.slow
def test_eight_devices_augment_as_one_does() -> None:
    one, eight = augmented(3, devices=1), augmented(3)
    np.testing.assert_allclose(eight[0], one[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(eight[1], one[1], rtol=1e-6)


def test_no_clip_and_no_noise_leaves_its_device() -> None:
    program = compiled(8).as_text()
    assert not COLLECTIVE.search(program)
    # Each device computes its two clips and nothing as large as all sixteen.
    assert "[2,4,16,16,3]" in program
    shapes = [np.prod([int(side) for side in sides.split(",")]) for sides in re.findall(r"\[([\d,]+)\]", program)]
    assert max(shapes) < make_batch()["clip"].size


def test_clips_that_leave_their_device_would_be_seen() -> None:
    """The check of the test before finds what it looks for."""
    clips = meshes.to_devices(make_batch(), meshes.data_mesh())["clip"]
    assert COLLECTIVE.search(jax.jit(lambda values: values[::-1]).lower(clips).compile().as_text())


def test_pixels_survive_normalisation_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 1, 1, 256, 3)
    back = jax.jit(lambda pixels: NORMALIZATION.denormalise(NORMALIZATION(pixels)))(pixels)
    np.testing.assert_array_equal(back, pixels)


def test_noise_beyond_the_range_of_pixels_is_cut_off() -> None:
    inputs = np.float32([-1000.0, 0.0, 1000.0]).reshape(1, 1, 1, 1, 3)
    assert np.ravel(jax.jit(NORMALIZATION.denormalise)(inputs)).tolist() == [0, 102, 255]


@pytest.mark.mistyped
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ClipAugmentation)])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "much"])
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{name} is .*{value}.*must be"):
        ClipAugmentation(**{name: value})


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"mix_probability is 1\.5.*from 0 to 1"):
        ClipAugmentation(mix_probability=1.5)


def test_only_mixing_asks_for_two_clips_a_device() -> None:
    for augmentation in (NO_AUGMENTATION, ClipAugmentation(1.0), ClipAugmentation(mixup_alpha=1, mix_probability=0)):
        augmentation.check_batch_size(8, 8)
    with pytest.raises(UserError, match=r"8 clips on 8 devices.*such as 16"):
        ALL.check_batch_size(8, 8)
    with pytest.raises(UserError, match=r"8 clips on 8 devices.*such as 16"):
        ClipAugmentation(still="batch").check_batch_size(8, 8)
    ClipAugmentation(still="own").check_batch_size(8, 8)
    ALL.check_batch_size(16, 8)
