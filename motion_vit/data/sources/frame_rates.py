"""Tells which frame rates are far from those that a model was trained on."""

import statistics
from collections.abc import Iterable

FAR = 1.5
"""Factor from which on two frame rates are far from each other: motion looks that much faster or slower."""


def is_far(rate: float, usual: float) -> bool:
    """Tells if two frame rates differ by more than the factor `FAR`; False where one of them is 0.0, unknown."""
    return bool(rate and usual and max(rate, usual) > FAR * min(rate, usual))


def median_rate(rates: Iterable[float]) -> float:
    """Returns the median of frame rates, without those that are 0.0, unknown; 0.0 where none is known."""
    known = [rate for rate in rates if rate]
    return statistics.median_low(known) if known else 0.0


def rate_note(rate: float, *, fps: float, trained: float) -> str:
    """Describes what a frame rate does to densely sampled clips, if it is far from the usual one.

    Args:
      rate: frames per second of a video; 0.0 if unknown.
      fps: ticks per second of the clock that clips are sampled by; 0.0 where frames are counted.
      trained: median frames per second of the training videos; 0.0 if unknown.

    Returns:
      A sentence; "" if there is nothing to say.
    """
    if fps:
        return (
            f"this video has {rate:.4g} frames a second, and data.fps samples {fps:g}, so that frames repeat"
            if rate < fps and is_far(rate, fps)
            else ""
        )
    if not is_far(rate, trained):
        return ""
    return (
        f"this video has {rate:.4g} frames a second, the training videos had {trained:.4g} (median), and sampling "
        f"counts frames: motion looks {max(rate, trained) / min(rate, trained):.2g} times as "
        f"{'fast' if rate < trained else 'slow'}"
    )
