"""Batches of features in the place of decoded clips: the same entries, but `clip` holds tokens of frames."""

import time
from typing import SupportsIndex

import grain
import numpy as np
from jaxtyping import Int

from motion_vit.data.batches.batch import Example, check_sizes
from motion_vit.data.batches.endless_batches import EndlessBatches
from motion_vit.data.batches.evaluation_batches import batches_of_views
from motion_vit.data.features.feature_folder import FeatureFolder
from motion_vit.data.sources.clip_source import ClipSource


class _DrawnViews(grain.transforms.RandomMap):
    """Maps a row to one of its views, drawn at random, on a leading axis of 1 of every array."""

    def __init__(self, features: FeatureFolder, labels: Int[np.ndarray, " n"]) -> None:
        self._features, self._labels = features, labels

    def random_map(self, element: SupportsIndex, rng: np.random.Generator) -> Example:
        """Reads a view of row `element`."""
        row = int(element)
        failed, reason = self._features.reasons.get(row, ("", ""))
        return {
            "clip": self._features.read(row, int(rng.integers(self._features.description.views)))[None],
            "label": np.array([self._labels[row]], np.int32),
            "weight": np.array([self._features.decoded[row]], np.float32),
            "index": np.array([row], np.int32),
            "failed": np.array([failed]),
            "reason": np.array([reason]),
        }


class FeatureBatches(EndlessBatches):
    """An endless stream of training batches of features; see `EndlessBatches`.

    The videos come in the order in which `TrainingBatches` of the same seed decodes them. Of several views of a video,
    each draw takes one.

    Args:
      source: the videos, for the balance of classes.
      features: theirs.
      labels: class of each video, an index into the label names of the source.
      batch_size: videos per step, over all hosts.
      seed: fixes the order and every draw.
      threads: threads that read; 0 for as many as cores. There are no processes: nothing is decoded.
      shard: this host's number and the number of hosts.
      parts: see `EndlessBatches`.
      class_balance: see `EndlessBatches`.

    Raises:
      UserError: the batch does not divide among the hosts, or a number is out of range.
    """

    def __init__(
        self,
        source: ClipSource,
        features: FeatureFolder,
        labels: Int[np.ndarray, " n"],
        *,
        batch_size: int,
        seed: int,
        threads: int = 0,
        shard: tuple[int, int] = (0, 1),
        parts: int = 1,
        class_balance: float = 0.0,
    ) -> None:
        check_sizes(batch_size, 0, threads, shard, clips=0, shape=())  # of the clips themselves, none is in memory
        super().__init__(
            source,
            _DrawnViews(features, labels),
            fingerprint=features.fingerprint,
            batch_size=batch_size,
            seed=seed,
            threads=threads,
            shard=shard,
            parts=parts,
            class_balance=class_balance,
        )


class _AllViews(grain.transforms.Map):
    """Maps a row to all its views, and row -1 to padding."""

    def __init__(self, features: FeatureFolder, labels: Int[np.ndarray, " n"]) -> None:
        self._features, self._labels = features, labels

    def map(self, element: SupportsIndex) -> Example:
        """Reads the views of row `element`."""
        started, row, features = time.perf_counter(), int(element), self._features
        # Padding has the tokens of a video, which do not count.
        clips = np.stack([features.read(max(row, 0), view) for view in range(features.description.views)])
        return {
            "clip": clips,
            "label": np.int32(self._labels[row] if row >= 0 else 0),
            "weight": np.float32(row >= 0 and features.decoded[row]),
            "index": np.int32(row),
            "seconds": np.float32(time.perf_counter() - started),
        }


def feature_views(
    features: FeatureFolder,
    labels: Int[np.ndarray, " n"],
    *,
    batch_size: int,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
    """Reads every view of every video once, in order, as `evaluation_batches` decodes them.

    Args:
      features: of the videos.
      labels: class of each video.
      batch_size: views in each batch of this host.
      threads: threads that read; 0 for as many as cores.
      shard: this host's number and the number of hosts. Every host gets the same number of batches.

    Returns:
      The batches.
    """
    check_sizes(batch_size, 0, threads, shard, clips=0, shape=())
    return batches_of_views(
        _AllViews(features, labels),
        np.arange(len(features)),
        views=features.description.views,
        batch_size=batch_size,
        threads=threads,
        shard=shard,
    )
