"""Runs a model on the views of several videos or windows at once, in batches of few shapes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from motion_vit.data.batches.batch import check_sizes
from motion_vit.data.batches.evaluation_batches import check_views
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.step.train_step import LogitsFunction

# Black items that fill the last batch, as a share of all.
_PADDING = 0.25


@dataclasses.dataclass(frozen=True)
class ViewCounts:
    """Counts the views of each video or window, and the views that the model takes at once.

    Attributes:
      clips: clips spread over the time.
      crops: crops of each of them, 1 or 3.
      batch_size: views at once.
    """

    clips: int
    crops: int
    batch_size: int

    @classmethod
    def of(cls, config: ConfigDict, *, clips: int | None, crops: int | None, batch_size: int | None) -> "ViewCounts":
        """Takes the recipe's numbers where none are given, and checks them.

        Args:
          config: the recipe.
          clips: None for the recipe's.
          crops: likewise.
          batch_size: likewise.

        Returns:
          The numbers.

        Raises:
          UserError: a number is out of range, or a batch is larger than the memory of this machine.
        """
        settings = config.evaluation
        counts = cls(
            settings.clips if clips is None else clips,
            settings.crops if crops is None else crops,
            settings.batch_size if batch_size is None else batch_size,
        )
        check_views(counts.clips, counts.crops)
        # A video is decoded for all its views at once.
        most = max(counts.batch_size, counts.clips * counts.crops)
        check_sizes(counts.batch_size, 0, 0, (0, 1), clips=most, shape=clip_options(config).shape)
        return counts

    def at_once(self, items: int) -> int:
        """Chooses how many of some videos or windows the model takes at once; see `items_at_once`."""
        return items_at_once(items, max(1, self.batch_size // (self.clips * self.crops)))


def items_at_once(items: int, most: int) -> int:
    """Chooses how many items the model takes at once: as many as can be, with few black ones to fill the last batch.

    The numbers are powers of two, so that a notebook that classifies lists of all lengths compiles few programs.

    Args:
      items: number of videos or windows.
      most: the most that may be taken at once, at least 1.

    Returns:
      A power of two.
    """
    sizes = [2**power for power in range(most.bit_length()) if 2**power <= max(1, items)]
    return max(size for size in sizes if -items % size <= _PADDING * items)


def mean_logits(
    logits_of: LogitsFunction,
    variables: Any,
    items: Sequence[UInt8[np.ndarray, "views t size size 3"]],
    at_once: int,
    mesh: Mesh,
) -> list[Float[np.ndarray, " classes"]]:
    """Averages the logits of the views of each item.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's parameters and running statistics.
      items: the views of each, as many for all; at most `at_once`.
      at_once: what they are padded to, so that one shape is compiled.
      mesh: devices that hold the variables.

    Returns:
      Logits, an array for each item.
    """
    if not items:
        return []
    joined = np.concatenate(items)
    parts = meshes.batch_parts(mesh)
    rows = -(-at_once * len(items[0]) // parts) * parts
    padding = [(0, rows - len(joined))] + [(0, 0)] * 4
    clips = meshes.to_devices({"clip": np.pad(joined, padding)}, mesh)["clip"]
    logits = jax.device_get(logits_of(variables, clips))[: len(joined)]
    return list(logits.reshape(len(items), -1, logits.shape[1]).mean(axis=1))
