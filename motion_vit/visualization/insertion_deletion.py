"""Insertion and deletion: how soon the answer comes and goes with the pixels that a map calls important.

Source: Petsiuk et al., "RISE" (arXiv 1806.07421), here over all pixels of all frames.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization.class_activation import class_signs
from motion_vit.visualization.clip_versions import Clip, grey, version_probabilities
from motion_vit.visualization.token_grid import TokenGrid

PixelScores = Float[np.ndarray, "t h w"]
"""The importance of each pixel of each frame of a clip."""


@dataclasses.dataclass(frozen=True)
class AnswerCurves:
    """The probability of a class as pixels come and go, the most important ones first.

    Attributes:
      shares: shares of the pixels that were replaced, from 0 to 1.
      deletion: probability where that share of the clip is covered.
      insertion: probability where that share is all that is seen.
    """

    shares: Float[np.ndarray, " n"]
    deletion: Float[np.ndarray, " n"]
    insertion: Float[np.ndarray, " n"]

    @property
    def deletion_area(self) -> float:
        """The area under `deletion`, from 0 to 1; the smaller, the better the map knows what the answer needs."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """The area under `insertion`, from 0 to 1; the larger, the better the map knows what suffices."""
        return float(np.trapezoid(self.insertion, self.shares))


def pixel_scores(values: Float[np.ndarray, "n rows columns"], grid: TokenGrid) -> PixelScores:
    """Spreads a map over the pixels of its clip, bilinear between the centres of patches.

    Args:
      values: the map, an entry for each frame of tokens.
      grid: its patches on the clip itself as a video: of `place_view((size, size), range(frames), size)`.

    Returns:
      A score for each pixel of each frame; the least one where no patch is.

    Raises:
      UserError: the map does not belong to the grid.
    """
    maps = grid.to_video(values)
    maps = np.where(np.isfinite(maps), maps, np.nanmin(maps))
    return maps[list(grid.token_frames)]


def answer_curves(
    model: VideoModel,
    variables: Mapping[str, Any],
    clip: Clip,
    scores: PixelScores,
    class_index: int,
    *,
    baseline: Clip | None = None,
    steps: int = 15,
) -> AnswerCurves:
    """Measures the probability of a class as the pixels of a clip are covered or shown, by their score.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clip: a normalised clip.
      scores: importance of each pixel; of equal ones the first in time, down and to the right comes first.
      class_index: number of the class.
      baseline: what covers pixels; None for grey, zeros.
      steps: equal shares in which pixels are replaced; each takes two forward passes.

    Returns:
      The curves, with `steps` + 1 points.

    Raises:
      UserError: there is no such class, the shapes do not fit, there is no step, or the logits are not finite.
    """
    class_signs(model, class_index)
    cover = grey(clip) if baseline is None else baseline
    if scores.shape != clip.shape[:3] or cover.shape != clip.shape:
        raise UserError(
            f"a clip of the shape {clip.shape} has scores {clip.shape[:3]} and a baseline of its own shape; given "
            f"{scores.shape} and {cover.shape}."
        )
    if steps < 1:
        raise UserError(f"steps is {steps}, but must be at least 1.")
    order = np.argsort(-scores, axis=None, kind="stable")
    counts = np.linspace(0, order.size, steps + 1).round().astype(np.int64)
    changes = ((clip, cover), (cover, clip))
    versions = (version for before, after in changes for version in _versions(before, after, order, counts))
    deletion, insertion = np.split(version_probabilities(model, variables, versions)[:, class_index], 2)
    return AnswerCurves(counts / order.size, deletion, insertion)


def _versions(before: Clip, after: Clip, order: Int[np.ndarray, " p"], counts: Int[np.ndarray, " n"]) -> Iterator[Clip]:
    """Replaces the first pixels of an order."""
    colours = after.reshape(-1, after.shape[-1])
    for count in counts:
        version = before.reshape(colours.shape).copy()
        version[order[:count]] = colours[order[:count]]
        yield version.reshape(before.shape)
