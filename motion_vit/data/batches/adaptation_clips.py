"""Videos one by one for adaptation at test time: views to adapt on, and the clips that are then classified."""

import dataclasses
import time
from collections.abc import Sequence
from typing import SupportsIndex

import grain
import numpy as np
from jaxtyping import Int, UInt8

from motion_vit.data.augmentation.crops import crop_views
from motion_vit.data.batches import clip_sampling
from motion_vit.data.batches.batch import Example, check_sizes, example, settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.batches.evaluation_batches import check_views, in_order, view_ticks, whole_clips
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.errors import UserError

# Sets the draws of crops apart from those of the order of frames and of corruptions.
_CROP_STREAM = 1


@dataclasses.dataclass(frozen=True)
class _Clips(grain.transforms.Map):
    """Maps a row of the source to its views and clips."""

    source: ClipSource
    options: ClipOptions
    views: int
    clips: int
    crops: int
    frame_order: FrameOrder
    corruption: Corruption | None

    def map(self, element: SupportsIndex) -> Example:
        """Decodes the video of row `element`, once for all."""
        settle_reader()
        started = time.perf_counter()
        row, label = int(element), 0
        views = np.zeros((self.views, *self.options.shape), np.uint8)
        clips: UInt8[np.ndarray, "n t h w 3"] | None = None
        try:
            with unexpected_as_decode_error(f"clip {row}"):
                clip = self.source[row]
                label = clip.label
                views, clips = self._decode(clip, row)
        except UserError:  # an error would stop the whole evaluation; weight 0 has the clip reported as skipped
            clips = None
        empty_shape = (self.clips * self.crops, *self.options.shape)
        seconds = np.float32(time.perf_counter() - started)
        return {**example(label, row, clips, empty_shape), "views": views, "seconds": seconds}

    def _decode(
        self, clip: StoredClip, row: int
    ) -> tuple[UInt8[np.ndarray, "v t h w 3"], UInt8[np.ndarray, "n t h w 3"]]:
        """Decodes what is classified first, so that the draws are those of an evaluation without adaptation."""
        decoded = whole_clips(
            clip, self.options, self._ticks, frame_order=self.frame_order, seed=row, corruption=self.corruption
        )
        size, rng = self.options.size, np.random.default_rng([row, _CROP_STREAM])
        classified = [crop_views(frames, size, self.crops) for frames in decoded[: self.clips]]
        views = [_random_crop(frames, size, rng) for frames in decoded[self.clips :]]
        return np.stack(views), np.concatenate(classified)

    def _ticks(self, ticks: int) -> Sequence[Int[np.ndarray, " t"]]:
        classified = [view_ticks(ticks, self.options, number, self.clips) for number in range(self.clips)]
        return [*classified, *(adaptation_ticks(ticks, self.options, each, self.views) for each in range(self.views))]


def adaptation_ticks(ticks: int, options: ClipOptions, view: int, views: int) -> Int[np.ndarray, " t"]:
    """Returns the ticks of one of the views that a model adapts on.

    Args:
      ticks: those of the video, see `frame_clock.FrameClock`.
      options: frames, sampling and stride. "segment" takes frames at one distance over the whole video, as the authors
        of ViTTA do. "dense" spreads clips over it as a test does: frames so far apart are not what the model knows.
      view: number of this view, from 0.
      views: number of views.

    Returns:
      Numbers of ticks, never decreasing.
    """
    if options.sampling == "segment":
        return clip_sampling.equidistant_view_indices(ticks, options.decoded_frames, view, views)
    return clip_sampling.dense_view_indices(ticks, options.decoded_frames, options.stride, view, views)


def adaptation_clips(
    source: ClipSource,
    options: ClipOptions,
    rows: Int[np.ndarray, " n"],
    *,
    views: int,
    clips: int = 1,
    crops: int = 1,
    frame_order: FrameOrder = "normal",
    corruption: Corruption | None = None,
    workers: int = 0,
    threads: int = 0,
) -> grain.IterDataset:
    """Reads videos in a given order, each with views to adapt on and clips to classify. It is decoded once for both.

    The clips are those of `evaluation_batches`, to the pixel. The views are cut out at a random place along the longer
    side, which depends on the row alone.

    Args:
      source: clips of a list or of a prepared split.
      options: frames, size, sampling and stride; augmentations are ignored.
      rows: rows of the source, in the order in which the videos come.
      views: views to adapt on.
      clips: clips to classify, spread over the time of a video.
      crops: crops of each of these, 1 or 3.
      frame_order: a control experiment, of views and clips alike.
      corruption: what is done to the frames of each view and clip.
      workers: worker processes; 0 decodes in threads of this one.
      threads: those threads; 0 for as many as cores.

    Returns:
      For each row `label`, `weight` (0 if it cannot be decoded), `index` and the `seconds` of decoding, `clip` uint8
      `[clips * crops, t, h, w, 3]` and `views` uint8 `[views, t, h, w, 3]`.

    Raises:
      UserError: a number is out of range.
    """
    check_views(clips, crops)
    check_sizes(1, workers, threads, (0, 1), clips=clips * crops + views, shape=options.shape)
    examples = grain.MapDataset.source(rows).map(_Clips(source, options, views, clips, crops, frame_order, corruption))
    return in_order(examples, workers, threads)


def _random_crop(
    frames: UInt8[np.ndarray, "t h w 3"], size: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "t size size 3"]:
    top, left = (int(rng.integers(0, side - size, endpoint=True)) for side in frames.shape[1:3])
    return frames[:, top : top + size, left : left + size]
