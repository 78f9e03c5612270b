"""From a list of videos to batches of uint8 clips, with Grain.

A batch is a dictionary of numpy arrays:

* `clip` uint8 `[B, T, H, W, 3]`, RGB;
* `label` int32 `[B]`;
* `weight` float32 `[B]`, 0.0 for a video that cannot be decoded and for the padding of the last evaluation batch;
* `index` int32 `[B]`, the row of the video in the list, -1 for padding;
* `view` int32 `[B]` in evaluation, from 0 to clips * crops - 1 with the crop changing fastest.

The clip of a given seed and position does not depend on the number of worker processes or hosts.
"""

import dataclasses
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import grain
import numpy as np
from absl import flags
from jaxtyping import UInt8

from motion_vit.data import augmentation, clip_sampling
from motion_vit.data.clip_sampling import FrameOrder
from motion_vit.data.decoding import VideoDecodeError, count_frames, decode_frames
from motion_vit.data.video_list import VideoList
from motion_vit.errors import UserError

Batch = dict[str, np.ndarray]
Example = dict[str, Any]

# Batches being made at a time, and batches ready, without worker processes; each is held in memory.
_READ_THREADS = 2
_READY_BATCHES = 2
# Training scales larger videos down to this many times the crop while decoding. 320 / 224 is the proportion of the
# resized Kinetics files that the published recipes train on; twice that leaves detail for small crops.
_DECODE_MARGIN = 2 * 320 / 224


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """How a clip is cut out of a video.

    Attributes:
      frames: Frames of a clip.
      size: Side of the square crop in pixels.
      sampling: "segment" spreads the frames over the whole video (Something-Something), "dense" takes every
        `stride`-th frame from a random start (Kinetics).
      stride: Distance of neighbouring frames for "dense".
      crop_scale: Least and greatest share of the picture that a training crop covers.
      crop_ratio: Least and greatest width / height of a training crop.
      flip: Whether training mirrors half of the clips. Off where left and right are part of the label.
    """

    frames: int = 16
    size: int = 224
    sampling: Literal["segment", "dense"] = "segment"
    stride: int = 4
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    flip: bool = False

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: A value is out of its range.
        """
        for name in ("frames", "size", "stride"):
            if getattr(self, name) < 1:
                raise UserError(f"clips: {name} must be at least 1; given {getattr(self, name)}")
        if self.sampling not in ("segment", "dense"):
            raise UserError(f"clips: sampling must be segment or dense; given {self.sampling!r}")
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f"clips: {name} must be two numbers, 0 < least <= greatest; given {low}, {high}")
        if self.crop_scale[1] > 1:
            raise UserError(f"clips: crop_scale is a share of the picture, at most 1; given {self.crop_scale[1]}")


def _settle_worker() -> None:
    """Sets up a worker process, and does nothing in any other.

    Workers share the cores already: a second layer of threads in each only gets in their way. Ctrl-C reaches every
    process of a terminal, but only the one that trains is to answer it; it ends its workers.
    """
    if multiprocessing.parent_process() is not None:
        cv2.setNumThreads(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _example(videos: VideoList, row: int, clip: np.ndarray | None, empty_shape: tuple[int, ...]) -> Example:
    """One video's entry of a batch; a clip of None stands for a video that cannot be decoded."""
    return {
        "clip": np.zeros(empty_shape, np.uint8) if clip is None else clip,
        "label": np.int32(videos.labels[row]),
        "weight": np.float32(clip is not None),
        "index": np.int32(row),
    }


@dataclasses.dataclass(frozen=True)
class _TrainingClips(grain.transforms.RandomMap):
    """Row of the list -> a randomly sampled, cropped and flipped clip."""

    videos: VideoList
    options: ClipOptions

    def random_map(self, element: int, rng: np.random.Generator) -> Example:
        """Decodes the clip of row `element`."""
        _settle_worker()
        row, options = int(element), self.options
        try:
            clip = self._decode(row, rng)
        except VideoDecodeError:
            return _example(self.videos, row, None, (options.frames, options.size, options.size, 3))
        clip = augmentation.random_resized_crop(clip, options.size, options.crop_scale, options.crop_ratio, rng)
        if options.flip:
            clip = augmentation.random_horizontal_flip(clip, rng)
        return _example(self.videos, row, clip, clip.shape)

    def _decode(self, row: int, rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
        path, options = self.videos.paths[row], self.options
        frames = count_frames(path) if self.videos.frames is None else int(self.videos.frames[row])
        if options.sampling == "segment":
            indices = clip_sampling.segment_indices(frames, options.frames, rng)
        else:
            indices = clip_sampling.dense_indices(frames, options.frames, options.stride, rng)
        return decode_frames(path, indices, short_side=round(options.size * _DECODE_MARGIN))


def training_dataset(
    videos: VideoList,
    options: ClipOptions,
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """An endless stream of training batches, every epoch in a new order.

    `iter()` of it has `get_state` and `set_state` (a small dictionary that fits JSON). The state is the position in the
    global stream: the same one resumes exactly with another number of workers or hosts.

    Args:
      videos: The videos.
      options: How clips are cut.
      batch_size: Clips a step, over all hosts together.
      seed: Fixes the order and every draw.
      workers: Worker processes; 0 decodes in threads of this one.
      shard: This host's number and the number of hosts; each gets its part of every batch.

    Returns:
      The stream of this host's batches, each of `batch_size / shard[1]` clips.

    Raises:
      UserError: The batch does not divide among the hosts, or a number is out of range.
    """
    _check_sizes(batch_size, workers, shard)
    if batch_size % shard[1]:
        raise UserError(f"the batch of {batch_size} clips does not divide among {shard[1]} hosts")
    clips = (
        grain.MapDataset.range(len(videos)).seed(seed).shuffle().repeat().random_map(_TrainingClips(videos, options))
    )
    return grain.experimental.ElasticIterator(
        clips,
        batch_size,
        grain.sharding.ShardOptions(shard_index=shard[0], shard_count=shard[1]),
        read_options=_read_options(workers),
        multiprocessing_options=_process_options(workers),
    )


def _check_sizes(batch_size: int, workers: int, shard: tuple[int, int]) -> None:
    if batch_size < 1:
        raise UserError(f"the batch size must be at least 1; given {batch_size}")
    if workers < 0:
        raise UserError(f"the number of data workers must be at least 0; given {workers}")
    if not 0 <= shard[0] < shard[1]:
        raise UserError(f"the shard must be a host's number and the number of hosts; given {shard}")


def _read_options(workers: int) -> grain.ReadOptions:
    """Threads of each process: a worker process reads in its only thread, its queue holds what is ready."""
    if workers:
        return grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return grain.ReadOptions(num_threads=_READ_THREADS, prefetch_buffer_size=_READY_BATCHES)


def _process_options(workers: int) -> grain.MultiprocessingOptions:
    if workers and not flags.FLAGS.is_parsed():
        # Grain asks its absl flags before it starts a process, and nothing parses them in a notebook or our command.
        flags.FLAGS.mark_as_parsed()
    return grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_READY_BATCHES)


def video_views(
    path: str,
    options: ClipOptions,
    *,
    clips: int = 1,
    crops: int = 1,
    frame_order: FrameOrder = "normal",
    num_frames: int | None = None,
    seed: int | Sequence[int] = 0,
) -> UInt8[np.ndarray, "views t size size 3"]:
    """Cuts the views of one video for testing, with one pass through the file.

    Args:
      path: The video file.
      options: Frames, size, sampling and stride; the training crops and the flip play no part.
      clips: Clips spread over the video.
      crops: Crops of each clip, 1 or 3.
      frame_order: A control experiment, see `clip_sampling.order_frames`.
      num_frames: Frames of the video; None counts them.
      seed: Fixes the permutation of "shuffled".

    Returns:
      The views, the crop changing fastest.

    Raises:
      VideoDecodeError: The video cannot be decoded.
    """
    frames = count_frames(path) if num_frames is None else num_frames
    rng = np.random.default_rng(seed)
    chosen = []
    for clip in range(clips):
        if options.sampling == "segment":
            indices = clip_sampling.segment_view_indices(frames, options.frames, clip, clips)
        else:
            indices = clip_sampling.dense_view_indices(frames, options.frames, options.stride, clip, clips)
        chosen.append(clip_sampling.order_frames(indices, frame_order, rng))
    decoded = decode_frames(path, np.concatenate(chosen), short_side=options.size)
    decoded = augmentation.resize_short_side(decoded, options.size)
    views = [augmentation.crop_views(part, options.size, crops) for part in np.split(decoded, clips)]
    return np.concatenate(views)


@dataclasses.dataclass(frozen=True)
class _EvaluationVideos(grain.transforms.Map):
    """Row of the list -> all views of its video; row -1 -> padding."""

    videos: VideoList
    options: ClipOptions
    clips: int
    crops: int
    frame_order: FrameOrder

    def map(self, element: int) -> Example:
        """Decodes the views of row `element`."""
        _settle_worker()
        row, options = int(element), self.options
        shape = (self.clips * self.crops, options.frames, options.size, options.size, 3)
        if row < 0:
            return _padding(np.zeros(shape, np.uint8))
        try:
            views = video_views(
                self.videos.paths[row],
                options,
                clips=self.clips,
                crops=self.crops,
                frame_order=self.frame_order,
                num_frames=None if self.videos.frames is None else int(self.videos.frames[row]),
                seed=row,
            )
        except VideoDecodeError:
            views = None
        return _example(self.videos, row, views, shape)


def _padding(clip: np.ndarray) -> Example:
    """An entry of a batch that counts for nothing."""
    return {"clip": clip, "label": np.int32(0), "weight": np.float32(0), "index": np.int32(-1)}


@dataclasses.dataclass(frozen=True)
class _SplitViews(grain.experimental.FlatMapTransform):
    """All views of a video -> one example for each."""

    max_fan_out: int

    def flat_map(self, element: Example) -> list[Example]:
        """Splits one decoded video."""
        return [{**element, "clip": clip, "view": np.int32(view)} for view, clip in enumerate(element["clip"])]


@dataclasses.dataclass(frozen=True)
class _PaddedBatch:
    """Stacks examples and fills the last batch up, so that every batch has the one shape that is compiled."""

    batch_size: int

    def __call__(self, examples: Sequence[Example]) -> Batch:
        padding = {**_padding(np.zeros_like(examples[0]["clip"])), "view": np.int32(0)}
        padded = [*examples, *[padding] * (self.batch_size - len(examples))]
        return {name: np.stack([example[name] for example in padded]) for name in padded[0]}


def evaluation_dataset(
    videos: VideoList,
    options: ClipOptions,
    *,
    batch_size: int,
    clips: int = 1,
    crops: int = 1,
    workers: int = 0,
    frame_order: FrameOrder = "normal",
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Every video once, in the list's order, each as `clips` x `crops` views.

    A video is decoded once for all its views. The last batch is filled up with weight 0 and index -1.

    Args:
      videos: The videos.
      options: Frames, size, sampling and stride; the training crops and the flip play no part.
      batch_size: Views in each batch of this host.
      clips: Clips spread over a video.
      crops: Crops of each clip, 1 or 3.
      workers: Worker processes; 0 decodes in threads of this one.
      frame_order: A control experiment: "normal", "frozen", "shuffled" or "reversed".
      shard: This host's number and the number of hosts. Every host gets the same number of batches.

    Returns:
      The batches.

    Raises:
      UserError: A number is out of range.
    """
    _check_sizes(batch_size, workers, shard)
    if clips < 1 or crops not in (1, 3):
        raise UserError(f"testing takes at least 1 clip and 1 or 3 crops; given {clips} clips and {crops} crops")
    if frame_order not in clip_sampling.FRAME_ORDERS:
        raise UserError(f"frame_order must be one of {', '.join(clip_sampling.FRAME_ORDERS)}; given {frame_order!r}")
    rows = np.arange(len(videos))
    rows = np.concatenate([rows, np.full(-len(videos) % shard[1], -1)])[shard[0] :: shard[1]]
    decoded = (
        grain.MapDataset.source(rows)
        .map(_EvaluationVideos(videos, options, clips, crops, frame_order))
        .to_iter_dataset(_read_options(workers))
    )
    # Views travel through the workers' queues: of a stream that ends, Grain leaves the last shared-memory block behind.
    decoded = grain.experimental.WithOptionsIterDataset(
        decoded, grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
    ).mp_prefetch(_process_options(workers))
    views = grain.experimental.FlatMapIterDataset(decoded, _SplitViews(clips * crops))
    return views.batch(batch_size, batch_fn=_PaddedBatch(batch_size))
