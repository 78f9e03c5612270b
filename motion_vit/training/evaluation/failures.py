"""Draws the videos that a model was wrong about and most sure of."""

import pathlib

import numpy as np
from jaxtyping import Int

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.contact_sheet import CaptionedClip, draw_sheet
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.errors import UserError
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos

_SHOWN = 12


def worst_failures(scored: ScoredVideos, count: int = _SHOWN) -> Int[np.ndarray, " failures"]:
    """Finds the videos of a wrong class that the model gave the highest probability.

    Args:
      scored: videos with their logits.
      count: the most that are wanted.

    Returns:
      Numbers of videos among those scored, the most confident mistake first; videos without finite logits are left out.
    """
    wrong = np.flatnonzero(scored.finite & ~scored.right)
    return np.asarray(wrong[np.argsort(-scored.confidence[wrong], kind="stable")][:count])


def draw_failures(evaluation: Evaluation, options: ClipOptions, target: pathlib.Path) -> bool:
    """Draws frames of the worst failures, with the true and the predicted class of each.

    Args:
      evaluation: the result.
      options: frames, size and sampling of a clip.
      target: PNG file to write.

    Returns:
      Whether there was any to draw; otherwise an older file of this name is removed.

    Raises:
      UnwritableError: it cannot be written.
    """
    scored, rows = evaluation.scored, []
    for number in worst_failures(scored):
        try:
            clip = clip_views(scored.source[int(scored.rows[number])], options)[0]
        except UserError:  # it could be decoded a while ago; the sheet is worth having without it
            continue
        true, predicted = (evaluation.label_names[int(of[number])] for of in (scored.labels, scored.predictions))
        sure = f"{100 * scored.confidence[number]:.0f} %"
        rows.append([CaptionedClip(f"{true}, taken for {predicted} ({sure}): {scored.names[number]}", clip)])
    if not rows:
        target.unlink(missing_ok=True)
        return False
    draw_sheet(rows, target)
    return True
