"""Mirrors clips left to right, together with labels that say left or right."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from motion_vit.data.augmentation.sided_names import normal_form, take_apart

_NAMED_CLASSES = 10


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


def mirrored_labels(label_names: Sequence[str]) -> Int[np.ndarray, " classes"]:
    """Finds for every class the class that its clips show once they are mirrored left to right.

    In the names the words left and right change places, and so do clockwise and counterclockwise, however words are
    divided (see `sided_names.take_apart`). "Pushing something from left to right" and "Pushing something from right to
    left" (Something-Something) are a pair, and so are `turn_left` and `turn_right`, `TurnLeft2` and `TurnRight2`;
    "Rolling Hand Forward" (Jester) has no such word and stays what it is. Only English words are recognised.

    Several classes may have the words of the mirror image, as `turn_right` and `TurnRight` have. Of these it is the one
    with the separators and the case of the name, if there are as many classes of the one side as of the other.

    Args:
      label_names: in the order of the class numbers.

    Returns:
      The class of the mirror image of each class; -1 where none is named so, or it is not clear which: clips of these
      classes must not be mirrored.
    """
    names = [take_apart(name) for name in label_names]
    classes = collections.defaultdict(list)
    for label, name in enumerate(names):
        classes[name.key].append(label)
    class_named = {normal_form(name): label for label, name in enumerate(label_names)}
    mirrored = np.arange(len(names), dtype=np.int32)
    for label, name in enumerate(names):
        if not name.has_side:
            continue
        images = classes.get(name.mirrored_key, [])
        if len(images) == 1:
            mirrored[label] = images[0]
        elif len(images) == len(classes[name.key]):
            mirrored[label] = class_named.get(name.mirrored, -1)
        else:
            mirrored[label] = -1
    for label, name in enumerate(names):
        image = mirrored[label]
        # "upright" is no side, but for the mirror image of "upleft" it is one.
        if name.has_side and image >= 0 and not names[image].has_side:
            mirrored[image] = label
    return mirrored


def describe_flip(flip: str, label_names: Sequence[str]) -> str:
    """Says which classes are never mirrored, or are mirrored though their names say left or right.

    Args:
      flip: "off", "on" or "label_aware".
      label_names: in the order of the class numbers.

    Returns:
      A sentence; "" if there is nothing to say.
    """
    if flip == "label_aware":
        unpaired = unpaired_sides(label_names)
        return f"never mirrored, for want of a class with the other side: {_listed(unpaired)}" if unpaired else ""
    sided = [name for name in label_names if flip == "on" and take_apart(name).has_side]
    if not sided:
        return ""
    return f'mirrored without their labels, which "label_aware" or "off" as augmentation.flip avoids: {_listed(sided)}'


def unpaired_sides(label_names: Sequence[str]) -> list[str]:
    """Lists the classes whose names say left or right, and that have no mirror image among the classes.

    Args:
      label_names: in the order of the class numbers.

    Returns:
      Their names.
    """
    return [name for name, image in zip(label_names, mirrored_labels(label_names), strict=True) if image < 0]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_CLASSES} more" if len(names) > _NAMED_CLASSES else ""
    return ", ".join(map(repr, names[:_NAMED_CLASSES])) + more


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
