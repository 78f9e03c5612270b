import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from motion_vit import UserError
from motion_vit.training.inputs.mixing import partners
from motion_vit.training.inputs.tube_mixing import mix_tubes, tube_mask

# Clip `i` of six is `i` everywhere: what it holds says what was mixed in.
NUMBERED = jnp.broadcast_to(jnp.arange(6.0)[:, None, None, None, None], (6, 3, 12, 10, 3))


def mixed(weights: list[int], seed: int = 0, clips: jax.Array = NUMBERED) -> tuple[np.ndarray, np.ndarray]:
    found = mix_tubes(clips, jnp.asarray(weights, jnp.float32), jax.random.key(seed), alpha=3.0, patch=4, groups=2)
    return jax.device_get(found)


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
    np.testing.assert_array_equal(clips[[0, 2]], NUMBERED[jnp.array([0, 2])])
    assert shares[0] == shares[2] == 1 > shares[3]


def test_masks_draw_a_whole_number_of_patches_anywhere() -> None:
    masks = jax.vmap(lambda key: tube_mask(key, 3, 4, jnp.float32(0.46)))(jax.random.split(jax.random.key(0), 600))
    assert set(np.asarray(masks.sum(axis=(1, 2))).tolist()) == {5}
    np.testing.assert_allclose(masks.mean(axis=0), 5 / 12, atol=0.08)
    assert not tube_mask(jax.random.key(0), 3, 4, jnp.float32(0.0)).any()
    assert tube_mask(jax.random.key(0), 3, 4, jnp.float32(1.0)).all()


def test_mixed_pixels_are_mixed_tokens_of_an_embedding_of_such_patches() -> None:
    clips = jax.random.normal(jax.random.key(1), (4, 2, 8, 8, 3))
    embed = nn.Conv(5, (1, 4, 4), (1, 4, 4))
    variables = embed.init(jax.random.key(2), clips)
    found, _ = mixed([1] * 4, clips=clips)
    tokens = embed.apply(variables, clips)
    ours = embed.apply(variables, found)
    # Every token is that of the clip or of its partner, the same choice in all frames.
    own = jnp.isclose(ours, tokens, atol=1e-5).all(axis=-1)
    others = jnp.isclose(ours, partners(tokens, 2), atol=1e-5).all(axis=-1)
    assert (own | others).all()
    assert (own == own[:, :1]).all()


def test_single_clips_are_refused() -> None:
    with pytest.raises(UserError, match=r"tube mixing joins unlabelled clips in pairs.*unlabelled\.mix_weight to 0"):
        mix_tubes(NUMBERED, jnp.ones(6), jax.random.key(0), alpha=1.0, patch=4, groups=6)
