import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

from motion_vit import UserError
from motion_vit.training.inputs.mixing import partners_of
from motion_vit.training.inputs.tube_mixing import mix_tubes, tube_mask

# Clip `i` of six is `i` everywhere: what it holds says what was mixed in.
NUMBERED = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None, None], (6, 3, 12, 10, 3))

# Compiled once for all tests, which therefore give it clips of one shape.
compiled_mix = jax.jit(functools.partial(mix_tubes, alpha=3.0, patch=4, groups=2))


def mixed(weights: list[int], clips: np.ndarray = NUMBERED) -> tuple[np.ndarray, np.ndarray]:
    return jax.device_get(compiled_mix(clips, np.float32(weights), jax.random.key(0)))


def test_clips_exchange_whole_patches_with_their_partners_in_all_frames_alike() -> None:
    clips, shares = mixed([1] * 6)
    partners = np.array([2, 1, 0, 5, 4, 3])  # of two groups
    np.testing.assert_array_equal(clips, clips[:, :1].repeat(3, 1))
    for number, (clip, share) in enumerate(zip(clips[:, 0, :, :, 0], shares, strict=True)):
        assert set(np.unique(clip)) <= {number, partners[number]}
        patches = [clip[row : row + 4, column : column + 4] for row in (0, 4, 8) for column in (0, 4, 8)]
        assert all(len(np.unique(patch)) == 1 for patch in patches)  # also those that the border cuts
        if partners[number] != number:
            assert np.mean([patch[0, 0] == number for patch in patches]) == pytest.approx(share)
    assert len(set(shares.tolist())) == 1
    assert 0 < shares[0] < 1


def test_undecodable_clips_and_their_partners_are_not_mixed() -> None:
    clips, shares = mixed([1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(clips[[0, 2]], NUMBERED[[0, 2]])
    assert shares[0] == shares[2] == 1 > shares[3]


def test_masks_draw_a_whole_number_of_patches_anywhere() -> None:
    @jax.jit
    def draw(share: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), 600)
        return jax.vmap(lambda key: tube_mask(key, 3, 4, share))(keys)

    masks = np.asarray(draw(np.float32(0.46)))
    assert set(masks.sum(axis=(1, 2)).tolist()) == {5}
    np.testing.assert_allclose(masks.mean(axis=0), 5 / 12, atol=0.08)
    assert not np.asarray(draw(np.float32(0.0))).any()
    assert np.asarray(draw(np.float32(1.0))).all()


def test_mixed_pixels_are_mixed_tokens_of_an_embedding_of_such_patches() -> None:
    rng = np.random.default_rng(1)
    clips = rng.standard_normal(NUMBERED.shape, np.float32)
    found, _ = mixed([1] * 6, clips)
    # Of the patches that the border does not cut.
    variables = {"params": {"kernel": rng.standard_normal((1, 4, 4, 3, 5), np.float32)}}
    embed = jax.jit(nn.Conv(5, (1, 4, 4), (1, 4, 4), "VALID", use_bias=False).apply)
    tokens, ours = embed(variables, clips), np.asarray(embed(variables, found))
    # Every token is that of the clip or of its partner, the same choice in all frames.
    own = np.isclose(ours, tokens, atol=1e-5).all(axis=-1)
    of_partners = np.asarray(partners_of(tokens, 2))
    others = np.isclose(ours, of_partners, atol=1e-5).all(axis=-1)
    assert (own | others).all()
    assert (own == own[:, :1]).all()


def test_single_clips_are_refused() -> None:
    clips, weights = jax.device_put((NUMBERED, np.ones(6, np.float32)))
    with pytest.raises(UserError, match=r"tube mixing joins unlabelled clips in pairs.*unlabelled\.mix_weight to 0"):
        mix_tubes(clips, weights, jax.random.key(0), alpha=1.0, patch=4, groups=6)
