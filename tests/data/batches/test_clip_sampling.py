"""Clip sampling: the published formulas, and clips that always fit into the video."""

import numpy as np
import pytest

from motion_vit.data.batches import clip_sampling
from motion_vit.data.batches.clip_sampling import (
    dense_indices,
    dense_view_indices,
    order_frames,
    segment_indices,
    segment_view_indices,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_training_segments_reach_every_frame_of_their_own_segment_and_no_other():
    draws = np.stack([segment_indices(33, 8, rng(seed)) for seed in range(300)])
    # (33 - 1) / 8 = 4: segment i is 4i..4i+4
    for i in range(8):
        assert set(draws[:, i]) == set(range(4 * i, 4 * i + 5))


def test_segment_bounds_round_halves_to_even():
    draws = np.stack([segment_indices(6, 2, rng(seed)) for seed in range(100)])
    # the segment is 2.5 frames: round(2.5) = 2 ends the first and starts the second, which ends at 5
    assert set(draws[:, 0]) == {0, 1, 2}
    assert set(draws[:, 1]) == {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("num_frames", "clip", "clips", "expected"),
    [
        (33, 0, 1, [2, 6, 10, 14, 18, 22, 26, 30]),  # round(4i) + int(4/2)
        (33, 0, 2, [1, 5, 9, 13, 17, 21, 25, 29]),  # + int(4/3)
        (33, 1, 2, [2, 6, 10, 14, 18, 22, 26, 30]),  # + int(4/3*2)
        (21, 0, 1, [1, 3, 6, 9, 11, 13, 16, 19]),  # segment 2.5, halves to even: 0 2 5 8 10 12 15 18, + 1
        (3, 0, 1, [0, 0, 0, 1, 1, 1, 2, 2]),  # shorter than the clip: frames repeat
        (1, 0, 1, [0] * 8),
    ],
)
def test_test_segments_follow_the_published_formula(num_frames, clip, clips, expected):
    assert segment_view_indices(num_frames, 8, clip, clips).tolist() == expected


def test_dense_training_clips_keep_the_stride_and_start_anywhere_they_fit():
    starts = set()
    for seed in range(200):
        indices = dense_indices(20, 4, 4, rng(seed))
        assert np.diff(indices).tolist() == [4, 4, 4]
        starts.add(int(indices[0]))
    assert starts == set(range(8))  # the clip spans 13 of 20 frames


def test_dense_test_clips_spread_from_the_first_to_the_last_frame():
    starts = [dense_view_indices(100, 4, 4, clip, 4) for clip in range(4)]
    assert [int(indices[0]) for indices in starts] == [0, 29, 58, 87]
    assert starts[-1][-1] == 99
    assert dense_view_indices(100, 4, 4, 0, 1)[0] == 43


@pytest.mark.parametrize("num_frames", [1, 2, 5, 16, 31, 300])
@pytest.mark.parametrize("clip_frames", [1, 2, 8, 16])
def test_every_clip_has_its_length_inside_the_video_and_runs_forward(num_frames, clip_frames):
    clips = [segment_indices(num_frames, clip_frames, rng()), dense_indices(num_frames, clip_frames, 4, rng())]
    clips += [segment_view_indices(num_frames, clip_frames, clip, 3) for clip in range(3)]
    clips += [dense_view_indices(num_frames, clip_frames, 4, clip, 3) for clip in range(3)]
    for indices in clips:
        assert indices.shape == (clip_frames,)
        assert 0 <= indices.min() <= indices.max() < num_frames
        assert (np.diff(indices) >= 0).all()


def test_a_video_shorter_than_a_dense_clip_repeats_its_last_frame():
    assert dense_indices(6, 4, 3, rng()).tolist() == [0, 3, 5, 5]


def test_controls_take_the_motion_out_or_undo_it():
    indices = np.arange(0, 16, 2)
    assert order_frames(indices, "normal", rng()).tolist() == indices.tolist()
    assert order_frames(indices, "frozen", rng()).tolist() == [8] * 8
    assert order_frames(indices, "reversed", rng()).tolist() == indices.tolist()[::-1]
    shuffled = order_frames(indices, "shuffled", rng(3))
    assert sorted(shuffled) == indices.tolist() != shuffled.tolist()
    assert shuffled.tolist() == order_frames(indices, "shuffled", rng(3)).tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda: segment_indices(0, 8, rng()),
        lambda: dense_indices(8, 0, 1, rng()),
        lambda: dense_indices(8, 2, 0, rng()),
        lambda: segment_view_indices(8, 2, 2, 2),
        lambda: order_frames(np.arange(4), "sideways", rng()),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(ValueError, match="given"):
        call()


def test_every_named_order_is_implemented():
    for name in clip_sampling.FRAME_ORDERS:
        assert order_frames(np.arange(5), name, rng()).shape == (5,)
