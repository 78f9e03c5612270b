"""Clips of published weights whose code reads videos as PySlowFast does."""

from typing import Any

_SOMETHING_SOMETHING_CLASSES = 174

KINETICS_CLASSES = (400, 600, 700)
"""Numbers of classes that tell Kinetics apart from other datasets."""


def slowfast_clips(num_classes: int | None) -> dict[str, Any]:
    """Tells from the number of classes how clips were taken.

    Something-Something is read with OpenCV, and so as blue, green, red; nothing turns them. Kinetics is decoded as red,
    green, blue, and ImageNet is read with PIL.

    Args:
      num_classes: classes of the weights; None if they are not known.

    Returns:
      `channel_order`, and where it is known `sampling`.
    """
    if num_classes == _SOMETHING_SOMETHING_CLASSES:
        return {"channel_order": "bgr", "sampling": "segment"}
    return {"channel_order": "rgb"} | ({"sampling": "dense"} if num_classes in KINETICS_CLASSES else {})
