"""Mirrors clips left to right, together with labels that say left or right."""

import collections
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

# What the words of a label's name become in the mirror.
_SIDED_WORD = re.compile(r"\b(?:left|right|clockwise|counterclockwise)\b")
_MIRROR_IMAGE = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
_COUNTERCLOCKWISE = re.compile(r"\b(?:counter|anti)[- ]?clockwise\b")


def random_horizontal_flip(
    clip: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "t h w 3"]:
    """Mirrors all frames of the clip left to right, with probability one half.

    Args:
      clip: the frames.
      rng: source of the draw.

    Returns:
      The clip or a mirrored view of it.
    """
    return clip[:, :, ::-1] if rng.random() < 0.5 else clip


def _one_spelling(name: str) -> str:
    """Normalizes a name: lower case, and one spelling of counterclockwise."""
    return _COUNTERCLOCKWISE.sub("counterclockwise", name.casefold())


def mirrored_labels(label_names: Sequence[str]) -> Int[np.ndarray, " classes"]:
    """Finds for every class the class that its clips show once they are mirrored left to right.

    In the names the words left and right change places, and so do clockwise and counterclockwise. "Pushing something
    from left to right" and "Pushing something from right to left" (Something-Something) are a pair; "Rolling Hand
    Forward" (Jester) has no such word and stays what it is.

    Args:
      label_names: in the order of the class numbers.

    Returns:
      The class of the mirror image of each class; -1 where none is named so, or more than one: clips of these
      classes must not be mirrored.
    """
    names = [_one_spelling(name) for name in label_names]
    classes = {name: label for label, name in enumerate(names)}
    count = collections.Counter(names)
    mirrored = []
    for label, name in enumerate(names):
        image = _SIDED_WORD.sub(lambda word: _MIRROR_IMAGE[word[0]], name)
        mirrored.append(label if image == name else classes[image] if count[image] == 1 else -1)
    return np.array(mirrored, np.int32)


def random_label_aware_flip(
    clip: UInt8[np.ndarray, "t h w 3"], label: int, mirrored: Int[np.ndarray, " classes"], rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "t h w 3"], int]:
    """Mirrors all frames of a clip left to right and its label with them, with probability one half.

    Args:
      clip: the frames.
      label: the class of the clip.
      mirrored: the classes' mirror images, from `mirrored_labels`.
      rng: source of the draw.

    Returns:
      The clip, or a mirrored view of it, and its class. A clip whose class has no mirror image stays as it is.
    """
    image = int(mirrored[label])
    # Drawn for every clip: what follows from the generator is then the same whatever the label.
    if rng.random() < 0.5 and image >= 0:
        return clip[:, :, ::-1], image
    return clip, label
