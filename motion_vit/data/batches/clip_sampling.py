"""Chooses the frames of a clip: pure functions of the number of frames.

Rounding is Python's and numpy's own (halves to the even number), as in the authors' loaders.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

FrameOrder = Literal["normal", "frozen", "shuffled", "reversed"]
FRAME_ORDERS: tuple[str, ...] = get_args(FrameOrder)


def _check(num_frames: int, clip_frames: int) -> None:
    if num_frames < 1 or clip_frames < 1:
        raise ValueError(f"a video and a clip have at least one frame; given {num_frames} and {clip_frames}")


def _check_view(clip: int, clips: int) -> None:
    if not 0 <= clip < clips:
        raise ValueError(f"clip must be one of 0..{clips - 1}; given {clip}")


def segment_indices(num_frames: int, clip_frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Draws one random frame out of each of `clip_frames` equal segments: Something-Something sampling for training.

    With `seg = (num_frames - 1) / clip_frames`, frame `i` is uniform in `[round(seg*i), round(seg*(i+1))]`, both ends
    included. A video shorter than the clip repeats frames.

    Args:
      num_frames: frames of the video.
      clip_frames: length of the clip.
      rng: source of the draw.

    Returns:
      Frame numbers, never decreasing.
    """
    _check(num_frames, clip_frames)
    bounds = np.round((num_frames - 1) / clip_frames * np.arange(clip_frames + 1)).astype(np.int64)
    return rng.integers(bounds[:-1], bounds[1:], endpoint=True)


def segment_view_indices(num_frames: int, clip_frames: int, clip: int, clips: int) -> Int[np.ndarray, " t"]:
    """Spreads frames inside the segments for clip number `clip` of `clips`: Something-Something sampling for testing.

    Frame `i` is `round(seg*i) + int(seg/(clips+1)*(clip+1))` with `seg = (num_frames - 1) / clip_frames`.

    Args:
      num_frames: frames of the video.
      clip_frames: length of the clip.
      clip: number of this clip, from 0.
      clips: number of clips for each video.

    Returns:
      Frame numbers, never decreasing.
    """
    _check(num_frames, clip_frames)
    _check_view(clip, clips)
    segment = (num_frames - 1) / clip_frames
    starts = np.round(segment * np.arange(clip_frames)).astype(np.int64)
    return np.minimum(starts + int(segment / (clips + 1) * (clip + 1)), num_frames - 1)


def equidistant_view_indices(num_frames: int, clip_frames: int, clip: int, clips: int) -> Int[np.ndarray, " t"]:
    """Takes frames at one distance over the whole video, each clip from another start: sampling for adaptation.

    With `tick = num_frames / clip_frames`, clip `k` has the frames `int(start + tick * i)`, whose start is entry `k` of
    `linspace(0, tick - 1, clips)` ("uniform_equidist" of wlin-at/ViTTA). A video shorter than the clip repeats frames.

    Args:
      num_frames: frames of the video.
      clip_frames: length of the clip.
      clip: number of this clip, from 0.
      clips: number of clips for each video.

    Returns:
      Frame numbers, never decreasing.
    """
    _check(num_frames, clip_frames)
    _check_view(clip, clips)
    tick = num_frames / clip_frames
    start = np.linspace(0, max(tick - 1, 0), clips)[clip]
    return np.minimum((start + tick * np.arange(clip_frames)).astype(np.int64), num_frames - 1)


def _dense_slack(num_frames: int, clip_frames: int, stride: int) -> int:
    """Returns the last frame number at which a dense clip can start (0 where the video is shorter than the clip)."""
    _check(num_frames, clip_frames)
    if stride < 1:
        raise ValueError(f"stride must be at least 1; given {stride}")
    return max(0, num_frames - ((clip_frames - 1) * stride + 1))


def _dense_from(start: int, num_frames: int, clip_frames: int, stride: int) -> Int[np.ndarray, " t"]:
    return np.minimum(start + stride * np.arange(clip_frames), num_frames - 1)


def dense_indices(num_frames: int, clip_frames: int, stride: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Takes every `stride`-th frame from a random start: Kinetics sampling for training.

    A video shorter than the clip starts at its first frame and repeats its last one.

    Args:
      num_frames: frames of the video.
      clip_frames: length of the clip.
      stride: distance of neighbouring frames of the clip, in frames of the video.
      rng: source of the draw.

    Returns:
      Frame numbers, never decreasing.
    """
    slack = _dense_slack(num_frames, clip_frames, stride)
    return _dense_from(int(rng.integers(0, slack, endpoint=True)), num_frames, clip_frames, stride)


def dense_view_indices(num_frames: int, clip_frames: int, stride: int, clip: int, clips: int) -> Int[np.ndarray, " t"]:
    """Spreads the starts of `clips` dense clips uniformly over the video: Kinetics sampling for testing.

    The first clip starts with the video and the last ends with it; a single clip lies in the middle.

    Args:
      num_frames: frames of the video.
      clip_frames: length of the clip.
      stride: distance of neighbouring frames of the clip, in frames of the video.
      clip: number of this clip, from 0.
      clips: number of clips for each video.

    Returns:
      Frame numbers, never decreasing.
    """
    slack = _dense_slack(num_frames, clip_frames, stride)
    _check_view(clip, clips)
    start = slack // 2 if clips == 1 else round(slack * clip / (clips - 1))
    return _dense_from(start, num_frames, clip_frames, stride)


def order_frames(
    indices: Int[np.ndarray, " t"], frame_order: FrameOrder, rng: np.random.Generator
) -> Int[np.ndarray, " t"]:
    """Reorders frames for control experiments, which measure the accuracy that is left without motion.

    Args:
      indices: the frame numbers of a clip.
      frame_order: "normal" changes nothing, "frozen" repeats the middle frame, "shuffled" permutes the frames,
        "reversed" plays them backwards.
      rng: source of the permutation; unused by the other orders.

    Returns:
      As many frame numbers as were given.

    Raises:
      ValueError: an unknown order.
    """
    if frame_order == "normal":
        return indices
    if frame_order == "frozen":
        return np.full_like(indices, indices[len(indices) // 2])
    if frame_order == "shuffled":
        return rng.permutation(indices)
    if frame_order == "reversed":
        return indices[::-1]
    raise ValueError(f"frame_order must be one of {', '.join(FRAME_ORDERS)}; given {frame_order!r}")
