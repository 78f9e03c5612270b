"""Batches for evaluation: every clip once, as views spread over time and cropped along the longer side."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import SupportsIndex

import grain
import numpy as np
from jaxtyping import Int, UInt8

from motion_vit.data.augmentation.crops import crop_views, resize_short_side
from motion_vit.data.batches import clip_sampling
from motion_vit.data.batches.batch import (
    Batch,
    Example,
    check_sizes,
    example,
    padding,
    process_options,
    read_options,
    settle_reader,
)
from motion_vit.data.batches.batch_ranges import CLIPS, CROPS
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.batches.frame_clock import read_clock
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError
from motion_vit.ranges import problems


def view_ticks(ticks: int, options: ClipOptions, clip: int = 0, clips: int = 1) -> Int[np.ndarray, " t"]:
    """Returns the ticks of one of the views that testing spreads over a video.

    Args:
      ticks: those of the video, see `frame_clock.FrameClock`.
      options: frames, sampling and stride.
      clip: number of this view, from 0.
      clips: number of views.

    Returns:
      Numbers of ticks, never decreasing.
    """
    if options.sampling == "segment":
        return clip_sampling.segment_view_indices(ticks, options.decoded_frames, clip, clips)
    return clip_sampling.dense_view_indices(ticks, options.decoded_frames, options.stride, clip, clips)


def clip_views(
    clip: StoredClip,
    options: ClipOptions,
    *,
    clips: int = 1,
    crops: int = 1,
    frame_order: FrameOrder = "normal",
    seed: int | Sequence[int] = 0,
    corruption: Corruption | None = None,
) -> UInt8[np.ndarray, "views t size size 3"]:
    """Decodes a video once and cuts the test views of a clip.

    Args:
      clip: not decoded yet.
      options: frames, size, sampling and stride; augmentations are ignored.
      clips: views spread over time.
      crops: crops of each of them, 1 or 3.
      frame_order: a control experiment, see `clip_sampling.order_frames`.
      seed: fixes the permutation of "shuffled", and the draws of the corruption.
      corruption: what is done to the frames of each clip, in the size of the shorter side, before they are cropped.

    Returns:
      The views, the crop changing fastest.

    Raises:
      VideoDecodeError: the video cannot be decoded.
    """
    with unexpected_as_decode_error(clip.video):
        decoded = whole_clips(
            clip,
            options,
            lambda ticks: [view_ticks(ticks, options, number, clips) for number in range(clips)],
            frame_order=frame_order,
            seed=seed,
            corruption=corruption,
        )
        return np.concatenate([crop_views(frames, options.size, crops) for frames in decoded])


def whole_clips(
    clip: StoredClip,
    options: ClipOptions,
    choose: Callable[[int], Sequence[Int[np.ndarray, " t"]]],
    *,
    frame_order: FrameOrder = "normal",
    seed: int | Sequence[int] = 0,
    corruption: Corruption | None = None,
) -> list[UInt8[np.ndarray, "t h w 3"]]:
    """Decodes several clips of a video, whole, in the size in which views are cut out of them.

    Args:
      clip: not decoded yet.
      options: size and clock.
      choose: makes the ticks of every clip of the number of ticks of the video.
      frame_order: as for `clip_views`, and all others, too.
      seed: likewise.
      corruption: likewise.

    Returns:
      The clips, whose shorter side has `options.size` pixels.

    Raises:
      VideoDecodeError: the video cannot be decoded.
    """
    clock = read_clock(clip, options.fps)
    rng = np.random.default_rng(seed)
    chosen = [clip_sampling.order_frames(clock.frames_at(ticks), frame_order, rng) for ticks in choose(clock.ticks)]
    decoded = decode_frames(clip.video, np.concatenate(chosen), short_side=options.size)
    clips = np.split(resize_short_side(decoded, options.size), len(chosen))
    if corruption is None:
        return clips
    place = [seed] if isinstance(seed, int) else list(seed)
    return [corruption(frames, [*place, number]) for number, frames in enumerate(clips)]


def check_views(clips: int, crops: int) -> None:
    """Checks the number of views of each video.

    Args:
      clips: views spread over time.
      crops: crops of each of them.

    Raises:
      UserError: one of them is out of range.
    """
    if found := problems({"clips": clips, "crops": crops}, {"clips": CLIPS, "crops": CROPS}):
        raise UserError(f"testing: {found[0]}.")


@dataclasses.dataclass(frozen=True)
class _Views(grain.transforms.Map):
    """Maps a row of the source to all views of its clip, and row -1 to padding."""

    source: ClipSource
    options: ClipOptions
    clips: int
    crops: int
    frame_order: FrameOrder
    corruption: Corruption | None

    def map(self, element: SupportsIndex) -> Example:
        """Decodes the views of row `element`."""
        settle_reader()
        started = time.perf_counter()
        decoded = self._decode(int(element))
        return {**decoded, "seconds": np.float32(time.perf_counter() - started)}

    def _decode(self, row: int) -> Example:
        shape = (self.clips * self.crops, *self.options.shape)
        if row < 0:
            return padding(shape)
        label = 0
        try:
            with unexpected_as_decode_error(f"clip {row}"):
                clip = self.source[row]
            label = clip.label
            views = clip_views(
                clip,
                self.options,
                clips=self.clips,
                crops=self.crops,
                frame_order=self.frame_order,
                seed=row,
                corruption=self.corruption,
            )
        except UserError:  # an error would stop the whole evaluation; weight 0 has the clip reported as skipped
            return example(label, row, None, shape)
        return example(label, row, views, shape)


@dataclasses.dataclass(frozen=True)
class _SplitViews(grain.experimental.FlatMapTransform):
    """Splits the views of a clip into one example each."""

    max_fan_out: int

    def flat_map(self, element: Example) -> list[Example]:
        """Splits one decoded clip."""
        return [{**element, "clip": clip, "view": np.int32(view)} for view, clip in enumerate(element["clip"])]


@dataclasses.dataclass(frozen=True)
class _PaddedBatch:
    """Stacks examples and pads the last batch, so that every batch has the one shape that is compiled."""

    batch_size: int

    def __call__(self, examples: Sequence[Example]) -> Batch:
        clip = np.zeros_like(examples[0]["clip"])
        filler = {**padding(clip.shape), "clip": clip, "view": np.int32(0), "seconds": np.float32(0)}
        padded = [*examples, *[filler] * (self.batch_size - len(examples))]
        return {name: np.stack([one[name] for one in padded]) for name in padded[0]}


def evaluation_batches(
    source: ClipSource,
    options: ClipOptions,
    *,
    batch_size: int,
    clips: int = 1,
    crops: int = 1,
    workers: int = 0,
    threads: int = 0,
    frame_order: FrameOrder = "normal",
    shard: tuple[int, int] = (0, 1),
    corruption: Corruption | None = None,
    rows: Int[np.ndarray, " n"] | None = None,
) -> grain.IterDataset:
    """Reads every clip once, in the source's order, each as `clips` x `crops` views.

    A video is decoded once for all its views. The last batch is padded with weight 0 and index -1.

    Args:
      source: clips of a list or of a prepared split.
      options: frames, size, sampling and stride; augmentations are ignored.
      batch_size: views in each batch of this host.
      clips: views spread over the time of a clip.
      crops: crops of each of them, 1 or 3.
      workers: worker processes; 0 decodes in threads of this one.
      threads: those threads; 0 for as many as cores.
      frame_order: a control experiment: "normal", "frozen", "shuffled" or "reversed".
      shard: this host's number and the number of hosts. Every host gets the same number of batches.
      corruption: what is done to the frames of each clip; its draws depend on the row of the video alone.
      rows: numbers of the clips to read, in order; all by default.

    Returns:
      The batches.

    Raises:
      UserError: a number is out of range.
    """
    check_views(clips, crops)
    # A video is decoded for all its views at once.
    check_sizes(batch_size, workers, threads, shard, clips=max(batch_size, clips * crops), shape=options.shape)
    if frame_order not in clip_sampling.FRAME_ORDERS:
        raise UserError(f"frame_order must be one of {', '.join(clip_sampling.FRAME_ORDERS)}; given {frame_order!r}")
    rows = np.arange(len(source)) if rows is None else rows
    views_of = _Views(source, options, clips, crops, frame_order, corruption)
    return batches_of_views(
        views_of, rows, views=clips * crops, batch_size=batch_size, workers=workers, threads=threads, shard=shard
    )


def batches_of_views(
    views_of: grain.transforms.Map,
    rows: Int[np.ndarray, " n"],
    *,
    views: int,
    batch_size: int,
    workers: int = 0,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Makes batches of views, whatever these are; every row once, in order.

    Args:
      views_of: maps a row to the entries of a batch for its clip, of which `clip` has all views, and row -1 to padding.
      rows: numbers of the clips.
      views: views of each.
      batch_size: views in each batch of this host.
      workers: as for `evaluation_batches`, and all others, too.
      threads: likewise.
      shard: likewise.

    Returns:
      The batches.
    """
    rows = np.concatenate([rows, np.full(-len(rows) % shard[1], -1)])[shard[0] :: shard[1]]
    made = in_order(grain.MapDataset.source(rows).map(views_of), workers, threads)
    split = grain.experimental.FlatMapIterDataset(made, _SplitViews(views))
    return split.batch(batch_size, batch_fn=_PaddedBatch(batch_size))


def in_order(examples: grain.MapDataset, workers: int, threads: int) -> grain.IterDataset:
    """Makes examples ahead of time, and gives them in their order.

    Args:
      examples: made when they are asked for.
      workers: worker processes; 0 makes them in threads of this one.
      threads: those threads; 0 for as many as cores.

    Returns:
      The examples.
    """
    # Views travel through the workers' queues: of a stream that ends, Grain leaves the last shared-memory block behind.
    return grain.experimental.WithOptionsIterDataset(
        examples.to_iter_dataset(read_options(workers, threads)),
        grain.experimental.DatasetOptions(min_shm_size=sys.maxsize),
    ).mp_prefetch(process_options(workers))
