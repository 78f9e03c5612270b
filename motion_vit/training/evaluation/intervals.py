"""Says how far an accuracy may be from that on all videos of the kind."""

import numpy as np
from jaxtyping import Float, Int

from motion_vit.counts import counted

FEW_VIDEOS = 30
"""Videos below which an interval says little: resampling cannot show what was never drawn."""

_RESAMPLES = 10_000
_LEVEL = 0.95
_SEED = 0


def accuracy_interval(right: Int[np.ndarray, " groups"], total: Int[np.ndarray, " groups"]) -> Float[np.ndarray, "2"]:
    """Finds the interval of 95 % of the mean of accuracies, by the bootstrap.

    Each group of videos is drawn anew from itself, with replacement, 10,000 times, with a fixed seed; what is drawn is
    the number of right ones, which is binomial. A single group of all videos gives the interval of top-1, one group a
    class that of the mean-class accuracy.

    Args:
      right: right videos of each group.
      total: videos of each group. Groups without any are left out.

    Returns:
      The 2.5th and the 97.5th percentile, from 0 to 1; NaN without videos.
    """
    right, total = right[total > 0], total[total > 0]
    if not len(total):
        return np.full(2, np.nan)
    drawn = np.random.default_rng(_SEED).binomial(total, right / total, (_RESAMPLES, len(total)))
    margin = (1 - _LEVEL) / 2
    return np.asarray(np.quantile((drawn / total).mean(axis=1), [margin, 1 - margin]))


def few_videos_note(videos: int) -> str:
    """Says what a single video moves where there are few.

    Args:
      videos: that are measured on, at least one.

    Returns:
      A sentence; "" where there are enough.
    """
    if videos >= FEW_VIDEOS:
        return ""
    says = "says" if videos == 1 else "say"
    return (
        f"{counted(videos, 'video')} {says} little: one more right or wrong moves top-1 by {100 / videos:.1f} "
        f"percentage points. Take at least {FEW_VIDEOS} videos that were not trained on."
    )


def unanimity_note(right: int, videos: int) -> str:
    """Says what the interval cannot where all videos are right, or none: resampling never finds another number.

    Args:
      right: videos that are right.
      videos: all that were measured, at least one.

    Returns:
      A sentence with the one-sided 95 % bound of Clopper and Pearson (1934); "" where some are right and some are not.
    """
    if 0 < right < videos:
        return ""
    bound = (1 - _LEVEL) ** (1 / videos)
    share, all_or_none = (bound, "right") if right else (1 - bound, "wrong")
    return (
        f"every video is {all_or_none}, so that the interval is a point. A model that is right {100 * share:.1f} % of "
        f"the time would have one of 20 such sets of {counted(videos, 'video')} all {all_or_none}, too."
    )
