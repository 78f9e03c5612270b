import jax
import numpy as np
import pytest

from motion_vit.ops import frame_pairs


def numbered_clip(frames):
    """Frame `t` holds `t + 1`, so that no frame looks like padding."""
    return jax.device_put(np.arange(1, frames + 1, dtype=np.float32).reshape(1, frames, 1, 1, 1, 1))


@pytest.mark.parametrize("frames", [2, 5])
def test_the_last_pair_is_repeated(frames):
    clip = numbered_clip(frames)
    query, key, value = frame_pairs.pair_frames(clip, clip, clip)
    assert query.ravel().tolist() == list(range(1, frames))
    assert key.ravel().tolist() == value.ravel().tolist() == list(range(2, frames + 1))
    assert frame_pairs.repeat_last_pair(query).ravel().tolist() == [*range(1, frames), frames - 1]


def test_frames_can_be_paired_backwards_and_at_a_distance():
    clip = numbered_clip(5)
    query, key, _ = frame_pairs.pair_frames(clip, clip, clip, offset=-2)
    assert (query - key).ravel().tolist() == [2.0] * 3
    assert frame_pairs.repeat_last_pair(query, offset=-2).ravel().tolist() == [3, 3, 3, 4, 5]


@pytest.mark.parametrize("offset", [1, 2, -1, -2])
@pytest.mark.parametrize("frames", [3, 6])
def test_keeping_all_frames_gives_the_same_pairs(frames, offset):
    def result(clip, pair, repeat):
        query, key, value = pair(clip, 10 * clip, 100 * clip, offset=offset)
        return repeat(query + key + value, offset=offset)

    @jax.jit
    def run(clip):
        kept = result(clip, frame_pairs.pair_all_frames, frame_pairs.repeat_nearest_pair)
        return kept, result(clip, frame_pairs.pair_frames, frame_pairs.repeat_last_pair)

    np.testing.assert_array_equal(*run(numbered_clip(frames)))


def test_frames_without_a_partner_get_keys_of_zero():
    clip = numbered_clip(4)
    query, key, value = frame_pairs.pair_all_frames(clip, clip, clip, offset=2)
    assert query.ravel().tolist() == [1, 2, 3, 4]
    assert key.ravel().tolist() == value.ravel().tolist() == [3, 4, 0, 0]


@pytest.mark.parametrize("pair", [frame_pairs.pair_frames, frame_pairs.pair_all_frames])
def test_a_single_frame_has_no_pairs(pair):
    clip = jax.device_put(np.zeros((1, 1, 2, 2, 1, 4), np.float32))
    with pytest.raises(ValueError, match="needs at least 2"):
        pair(clip, clip, clip)


def test_a_shift_moves_gradients_back():
    x = np.arange(1.0, 5.0, dtype=np.float32).reshape(1, 4)
    shifted, pullback = jax.vjp(lambda x: frame_pairs.shift_frames(x, 1), x)
    np.testing.assert_array_equal(shifted, [[2, 3, 4, 0]])
    np.testing.assert_array_equal(pullback(x)[0], [[0, 1, 2, 3]])
