"""Endless training batches, with Grain: shuffled, sampled at random, augmented, and exactly resumable.

The stream of a seed does not depend on the number of threads, worker processes or hosts.
"""

from collections.abc import Mapping
from typing import Protocol, SupportsIndex, runtime_checkable

import grain
import numpy as np
from jaxtyping import Int, UInt8

from motion_vit.data.augmentation.crops import multi_scale_crop, random_resized_crop
from motion_vit.data.augmentation.flips import mirrored_labels, random_horizontal_flip, random_label_aware_flip
from motion_vit.data.augmentation.rand_augment import RandAugment, parse_rand_augment
from motion_vit.data.batches import clip_sampling
from motion_vit.data.batches.batch import Example, check_sizes, example_of_views, settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.endless_batches import EndlessBatches
from motion_vit.data.batches.frame_clock import read_clock
from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError

# Training scales larger videos down to this many times the crop while decoding. 320 / 224 is the proportion of the
# resized Kinetics files that the published recipes train on; twice that leaves detail for small crops.
_DECODE_MARGIN = 2 * 320 / 224


def decode_training_clip(
    clip: StoredClip, options: ClipOptions, rng: np.random.Generator
) -> UInt8[np.ndarray, "t h w 3"]:
    """Draws the frames of a clip and decodes them.

    Args:
      clip: not decoded yet.
      options: number of frames and sampling.
      rng: source of the draw.

    Returns:
      The whole frames, RGB, not larger than training crops need.

    Raises:
      VideoDecodeError: the video cannot be decoded.
    """
    clock = read_clock(clip, options.fps)
    if options.sampling == "segment":
        ticks = clip_sampling.segment_indices(clock.ticks, options.decoded_frames, rng)
    else:
        ticks = clip_sampling.dense_indices(clock.ticks, options.decoded_frames, options.stride, rng)
    return decode_frames(clip.video, clock.frames_at(ticks), short_side=round(options.size * _DECODE_MARGIN))


class ClipAugmenter:
    """Cuts and augments decoded frames on the host.

    Args:
      options: crop, flip and RandAugment.
      label_names: names of the classes, among which "label_aware" flips look for mirror images.

    Raises:
      UserError: the flip is "label_aware", and no class name says left or right.
    """

    def __init__(self, options: ClipOptions, label_names: tuple[str, ...]) -> None:
        self._options = options
        self._rand_augment: RandAugment | None = None
        if options.rand_augment:
            self._rand_augment = parse_rand_augment(options.rand_augment)
        self._mirrored: Int[np.ndarray, " classes"] | None = None
        if options.flip == "label_aware":
            self._mirrored = mirrored_labels(label_names)
            if (self._mirrored == np.arange(len(label_names))).all():
                raise UserError(
                    'the flip "label_aware" finds no class whose name says left, right or clockwise, such as '
                    f'{label_names[0]!r}; give the classes their names, or choose the flip "on" or "off"'
                )

    def __call__(
        self, clip: UInt8[np.ndarray, "t h w 3"], label: int, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "t size size 3"], int]:
        """Augments a clip.

        Args:
          clip: the decoded frames.
          label: class of the clip.
          rng: source of every draw.

        Returns:
          The square clip, and its class, which a label-aware flip may change.
        """
        options = self._options
        if self._rand_augment is not None and options.rand_augment_on == "frame":
            clip = self._rand_augment(clip, rng)
        if options.crop == "multi_scale":
            clip = multi_scale_crop(clip, options.size, options.crop_sizes, rng)
        else:
            clip = random_resized_crop(clip, options.size, options.crop_scale, options.crop_ratio, rng)
        if self._rand_augment is not None and options.rand_augment_on == "crop":
            clip = self._rand_augment(clip, rng)
        if options.flip == "on":
            return random_horizontal_flip(clip, rng), label
        if self._mirrored is not None:
            return random_label_aware_flip(clip, label, self._mirrored, rng)
        return clip, label


@runtime_checkable
class ClipViews(Protocol):
    """Makes what a batch has of a clip.

    Attributes:
      names: entries of the batch, each of which has a view of every clip.
    """

    names: tuple[str, ...]

    def __call__(
        self, clip: UInt8[np.ndarray, "t h w 3"], label: int, rng: np.random.Generator
    ) -> tuple[Mapping[str, UInt8[np.ndarray, "t size size 3"]], int]:
        """Cuts and augments decoded frames; returns the views by their names, and the class of the clip."""
        ...


class _OneView:
    """Makes the only view of a labelled clip, `clip`."""

    names: tuple[str, ...] = ("clip",)

    def __init__(self, augment: ClipAugmenter) -> None:
        self._augment = augment

    def __call__(
        self, clip: UInt8[np.ndarray, "t h w 3"], label: int, rng: np.random.Generator
    ) -> tuple[Mapping[str, UInt8[np.ndarray, "t size size 3"]], int]:
        augmented, label = self._augment(clip, label, rng)
        return {"clip": augmented}, label


class _TrainingClips(grain.transforms.RandomMap):
    """Maps a row of the source to `repeats` augmented clips of it, on a leading axis of every array."""

    def __init__(self, source: ClipSource, options: ClipOptions, views: ClipViews) -> None:
        self._source, self._options, self._views = source, options, views

    def random_map(self, element: SupportsIndex, rng: np.random.Generator) -> Example:
        """Decodes and augments the clip of row `element`."""
        settle_reader()
        row, options = int(element), self._options
        label, failed, reason = 0, f"clip {row} of {self._source.name}", ""
        try:
            with unexpected_as_decode_error(failed):
                clip = self._source[row]
                label, failed = clip.label, clip.id
                decoded = decode_training_clip(clip, options, rng)
                augmented = [self._views(decoded, label, rng) for _ in range(options.repeats)]
        except UserError as error:
            # Grain would go on silently shifted; whoever reads the batches finds weight 0 and reports it. The reason
            # goes along: to find it once more, training would have to wait for the video.
            reason = error.reason if isinstance(error, VideoDecodeError) else str(error)
            made = [example_of_views(label, row, None, self._views.names, options.shape)] * options.repeats
        else:
            failed = ""
            made = [
                example_of_views(its_label, row, views, self._views.names, options.shape)
                for views, its_label in augmented
            ]
        told = {"failed": np.full(options.repeats, failed), "reason": np.full(options.repeats, reason)}
        return {name: np.stack([one[name] for one in made]) for name in made[0]} | told


class TrainingBatches(EndlessBatches):
    """An endless stream of training batches, decoded and augmented; see `EndlessBatches`.

    Args:
      source: clips of a list or of a prepared split.
      options: sampling, crops and augmentation.
      views: makes what a batch has of a clip; by default `clip`, augmented by the options.
      batch_size: videos per step, over all hosts; each becomes `options.repeats` clips.
      seed: fixes the order and every draw.
      workers: worker processes; 0 decodes in threads of this one.
      threads: those threads; 0 for as many as cores.
      shard: this host's number and the number of hosts.
      parts: see `EndlessBatches`.
      class_balance: see `EndlessBatches`.

    Raises:
      UserError: the batch does not divide among the hosts, or a number is out of range.
    """

    def __init__(
        self,
        source: ClipSource,
        options: ClipOptions,
        *,
        views: ClipViews | None = None,
        batch_size: int,
        seed: int,
        workers: int = 0,
        threads: int = 0,
        shard: tuple[int, int] = (0, 1),
        parts: int = 1,
        class_balance: float = 0.0,
    ) -> None:
        views = _OneView(ClipAugmenter(options, source.label_names)) if views is None else views
        clips = batch_size * options.repeats * len(views.names) // max(shard[1], 1)
        check_sizes(batch_size, workers, threads, shard, clips=clips, shape=options.shape)
        super().__init__(
            source,
            _TrainingClips(source, options, views),
            fingerprint=source.fingerprint,
            batch_size=batch_size,
            seed=seed,
            workers=workers,
            threads=threads,
            shard=shard,
            parts=parts,
            class_balance=class_balance,
        )
