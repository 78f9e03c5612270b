"""Still mixing: the authors' numbers, and what does not depend on draws."""

import functools
import re
from collections.abc import Callable

import chex
import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.errors import UserError
from motion_vit.training.inputs.clip_augmentation import ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.inputs.still_mixing import blend_still, frames_at, mix_still
from motion_vit.training.parallel import mesh as meshes

NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
# Of six clips in two groups: the clips in the middle of a group are their own partners.
PARTNERS = [2, 1, 0, 5, 4, 3]
DRAWS = 300


def clips() -> np.ndarray:
    """Six clips of four frames."""
    return np.random.default_rng(0).standard_normal((6, 4, 5, 7, 3)).astype(np.float32)


def bank() -> np.ndarray:
    """Nine frames."""
    return np.random.default_rng(1).integers(0, 256, (9, 5, 7, 3), np.uint8)


@functools.cache
def mixer(kind: str) -> Callable[..., np.ndarray]:
    mixed = functools.partial(
        mix_still, kind=kind, normalization=NORMALIZATION, share=(20.0, 30.0), probability=0.7, limit=0.4, groups=2
    )

    def draw(weights: jax.Array, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, DRAWS)
        return jax.vmap(lambda key: mixed(jnp.asarray(clips()), weights, key, bank=jnp.asarray(bank())))(keys)

    return jax.jit(draw)


@functools.cache
def draws(kind: str, weights: tuple[int, ...] = (1,) * 6, seed: int = 0) -> np.ndarray:
    """Many draws: `[draws, clip, frame, height, width, channel]`."""
    return np.asarray(mixer(kind)(np.float32(weights), jax.random.key(seed, impl="threefry2x32")))


def own_shares(mixed: np.ndarray) -> np.ndarray:
    """Of each draw and clip the share of the clip: a still frame adds nothing to the differences between frames."""
    before, after = (np.diff(each, axis=-4) for each in (clips(), mixed))
    shares = np.sum(after * before, axis=(2, 3, 4, 5)) / np.sum(before * before, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(after, shares[:, :, None, None, None, None] * before, atol=1e-5)
    return shares


def added_frames(mixed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What was added to each clip, the same in all frames: `[draws, clip, height, width, channel]`."""
    added = mixed - shares[:, :, None, None, None, None] * clips()
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :, :1], added.shape), atol=1e-5)
    return added[:, :, 0]


def places(frames: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Of frames `[n, ...]` the numbers of the candidates that they are."""
    distance = np.abs(frames[:, None] - candidates[None]).max(axis=(2, 3, 4))
    assert distance.min(axis=1).max() < 1e-3
    return distance.argmin(axis=1)


def test_a_bank_is_blended_in_as_by_the_authors_code() -> None:
    golden = goldens.load("still_mixing")
    videos = np.moveaxis(golden["videos"], 1, -1)
    stills = np.moveaxis(golden["bank"], 1, -1)[golden["stillmix/bank_index"]]
    own = np.where(golden["stillmix/uniform"] < 0.5, golden["stillmix/own_share"], 1).astype(np.float32)
    mixed = np.moveaxis(np.asarray(jax.jit(blend_still)(videos, stills, own)), -1, 1)
    # Their code puts the blended clips first.
    np.testing.assert_allclose(mixed[golden["stillmix/order"]], golden["stillmix/videos"], atol=1e-6)


def test_own_frames_are_blended_in_as_by_the_authors_code() -> None:
    golden = goldens.load("still_mixing")
    videos = np.moveaxis(golden["videos"], 1, -1)
    own = np.full(len(videos), 1 - golden["be/frame_share"], np.float32)
    blend = jax.jit(lambda videos, frames, own: blend_still(videos, frames_at(videos, frames), own))
    mixed = blend(videos, golden["be/frame"], own)
    np.testing.assert_allclose(np.moveaxis(np.asarray(mixed), -1, 1), golden["be/videos"], atol=1e-6)


def test_every_clip_gets_a_frame_of_its_own_by_one_share_below_the_limit() -> None:
    shares = own_shares(draws("own"))
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape), atol=1e-5)
    stills = 1 - shares[:, 0]
    assert stills.min() >= 0
    assert stills.max() <= 0.4 + 1e-5
    assert stills.mean() == pytest.approx(0.2, abs=0.03)
    some = stills > 0.1
    frames = added_frames(draws("own"), shares)[some] / stills[some, None, None, None, None]
    for number, clip in enumerate(clips()):
        assert set(places(frames[:, number], clip)) == set(range(4))


def test_a_clip_that_does_not_move_is_unchanged_by_frames_of_its_own() -> None:
    still = clips()[:, :1].repeat(4, axis=1)
    mix = jax.jit(functools.partial(mix_still, kind="own", normalization=NORMALIZATION))
    mixed = mix(still, np.ones(6, np.float32), jax.random.key(0))
    np.testing.assert_allclose(mixed, still, atol=1e-6)


@pytest.mark.fast_cases("batch")
@pytest.mark.parametrize("kind", ["batch", "bank"])
def test_some_clips_get_a_frame_by_one_share_of_the_beta_distribution_and_the_others_stay_as_they_are(
    kind: str,
) -> None:
    mixed = draws(kind)
    shares = own_shares(mixed)
    chosen = shares < 0.99
    np.testing.assert_array_equal(mixed[~chosen], np.broadcast_to(clips(), mixed.shape)[~chosen])
    # Four standard deviations of the binomial distribution.
    assert chosen.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.7 * 0.3 / chosen.size))
    assert (np.diff(chosen.astype(int), axis=1) != 0).any(), "drawn for each clip"
    of_batch = np.array([row[taken].mean() for row, taken in zip(shares, chosen, strict=True) if taken.any()])
    for row, taken in zip(shares, chosen, strict=True):
        np.testing.assert_allclose(row[taken], row[taken].mean() if taken.any() else 0, atol=1e-4)
    # Of Beta(20, 30): mean 0.4, variance 0.24 / 51.
    assert of_batch.mean() == pytest.approx(0.4, abs=0.015)
    assert of_batch.std() == pytest.approx(np.sqrt(0.24 / 51), rel=0.15)


def test_frames_of_the_bank_are_normalised_and_all_come() -> None:
    mixed = draws("bank")
    shares = own_shares(mixed)
    chosen = shares < 0.99
    frames = added_frames(mixed, shares)[chosen] / (1 - shares[chosen])[:, None, None, None]
    assert set(places(frames, (bank() / 255 - 0.5) / 0.25)) == set(range(9))


def test_frames_of_the_batch_are_the_partners() -> None:
    mixed = draws("batch")
    shares = own_shares(mixed)
    frames = added_frames(mixed, shares)
    for number, partner in enumerate(PARTNERS):
        chosen = shares[:, number] < 0.99
        taken = frames[chosen, number] / (1 - shares[chosen, number])[:, None, None, None]
        assert set(places(taken, clips()[partner])) == set(range(4))


def test_a_clip_of_weight_zero_is_blended_into_no_other() -> None:
    shares = own_shares(draws("batch", (0, 1, 1, 1, 1, 1)))
    np.testing.assert_allclose(shares[:, [0, 2]], 1, atol=1e-6)
    assert (shares[:, [3, 5]] < 0.99).any()


def test_the_key_alone_decides() -> None:
    again = mixer("bank")(np.ones(6, np.float32), jax.random.key(0, impl="threefry2x32"))
    np.testing.assert_array_equal(draws("bank"), again)
    assert (draws("bank") != draws("bank", seed=1)).any()


def test_none_computes_nothing_and_the_dtype_of_clips_is_kept() -> None:
    half = jax.ShapeDtypeStruct((2, 3, 4, 4, 3), jnp.bfloat16)
    arguments = jnp.zeros(half.shape, half.dtype), jnp.ones(2), jax.random.key(0)
    mixed = functools.partial(mix_still, normalization=NORMALIZATION)
    assert not jax.make_jaxpr(functools.partial(mixed, kind="none"))(*arguments).eqns
    for kind in ("own", "batch"):
        assert jax.eval_shape(functools.partial(mixed, kind=kind), *arguments).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("kind", "frames", "message"),
    [
        ("bank", None, "no entry stills"),
        ("bank", (9, 8, 8, 3), "frames of 8 x 8 pixels, but the clips have 5 x 7"),
        ("batch", None, "6 clips on 4 devices do not give each of them two clips"),
    ],
)
def test_what_cannot_be_blended_is_refused(kind: str, frames: tuple[int, ...] | None, message: str) -> None:
    stills = None if frames is None else np.zeros(frames, np.uint8)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(
            functools.partial(mix_still, kind=kind, normalization=NORMALIZATION, groups=4),
            clips(),
            np.ones(6, np.float32),
            jax.random.key(0),
            bank=stills,
        )


def augmented(kind: str, mesh: jax.sharding.Mesh) -> tuple[tuple[jax.Array, jax.Array], str]:
    """Clips and targets of sixteen clips in groups of two, and the compiled program."""
    rng = np.random.default_rng(2)
    batch = {
        "clip": rng.integers(0, 256, (16, 4, 16, 16, 3), np.uint8),
        "label": np.arange(16, dtype=np.int32) % 5,
        "weight": np.ones(16, np.float32),
    }
    stills = jax.device_put(rng.integers(0, 256, (32, 16, 16, 3), np.uint8), meshes.replicated(mesh))
    placed = meshes.to_devices(batch, mesh) | {"stills": stills}
    program = (
        jax.jit(
            functools.partial(
                augment_batch,
                normalization=NORMALIZATION,
                augmentation=ClipAugmentation(still=kind, still_probability=0.6),
                num_classes=5,
                groups=8,
            )
        )
        .lower(placed, jax.random.key(4))
        .compile()
    )
    return jax.device_get(program(placed, jax.random.key(4))), program.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["batch", "bank"])
def test_eight_devices_blend_as_one_does_and_send_no_clip(kind: str) -> None:
    (one, _), (eight, text) = augmented(kind, meshes.data_mesh(jax.devices()[:1])), augmented(kind, meshes.data_mesh())
    chex.assert_trees_all_close(eight, one, rtol=1e-5, atol=1e-5)
    assert not re.search(r"all-gather|all-to-all|collective-permute|all-reduce", text)
    np.testing.assert_array_equal(eight[1], np.eye(5)[np.arange(16) % 5])


def test_of_frames_split_over_devices_one_of_each_clip_travels() -> None:
    (one, _), (split, text) = (
        augmented("own", mesh)
        for mesh in (
            meshes.data_mesh(jax.devices()[:1]),
            meshes.make_mesh(data=2, fsdp=2, frames=2),
        )
    )
    chex.assert_trees_all_close(split, one, rtol=1e-5, atol=1e-5)
    assert "all-reduce" in text
    assert not re.search(r"all-gather|all-to-all|collective-permute", text)
