"""Two views of an unlabelled clip: a weak one for a teacher to label, and a strong one for a student to learn from."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.batches.batch_ranges import TimePerturbation
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.time_perturbation import perturbed_order
from motion_vit.data.batches.training_batches import ClipAugmenter

WEAK, STRONG = "weak", "strong"
"""Entries of a batch."""


class WeakAndStrongViews:
    """Makes both views of the same frames, each with draws of its own.

    Where flips are "label_aware", neither view is flipped: without a label it is not known what the mirrored clip
    shows.

    Args:
      options: sampling and crops of both.
      rand_augment: RandAugment of the strong view; the weak one has none.
      strong_time: what is done to the order of the frames of the strong view.
    """

    names: tuple[str, ...] = (WEAK, STRONG)

    def __init__(self, options: ClipOptions, *, rand_augment: str, strong_time: TimePerturbation) -> None:
        flip = "off" if options.flip == "label_aware" else options.flip
        weak = dataclasses.replace(options, rand_augment="", flip=flip)
        self._weak = ClipAugmenter(weak, ())
        self._strong = ClipAugmenter(dataclasses.replace(weak, rand_augment=rand_augment), ())
        self._strong_time: TimePerturbation = strong_time

    def __call__(
        self, clip: UInt8[np.ndarray, "t h w 3"], label: int, rng: np.random.Generator
    ) -> tuple[Mapping[str, UInt8[np.ndarray, "t size size 3"]], int]:
        """Makes the views.

        Args:
          clip: the decoded frames.
          label: what is known of the class.
          rng: source of every draw.

        Returns:
          The views by their names, and the label as it is.
        """
        weak, _ = self._weak(clip, label, rng)
        strong, _ = self._strong(clip[perturbed_order(len(clip), self._strong_time, rng)], label, rng)
        return {WEAK: weak, STRONG: strong}, label
