"""Says where classes have very unequal numbers of clips, which training and accuracy both follow."""

from collections.abc import Sequence

from motion_vit.outside_text import for_terminal

_VERY_UNEQUAL = 10
_LONGEST_NAME = 40


def describe_imbalance(label_names: Sequence[str], clips_of_class: Sequence[int]) -> str:
    """Names the rarest and the most frequent class where one has more than ten times the clips of the other.

    Args:
      label_names: the names of the classes.
      clips_of_class: number of clips of each; classes without any are left aside.

    Returns:
      A sentence without its full stop; "" where classes are more equal.
    """
    counts = sorted((count, name) for name, count in zip(label_names, clips_of_class, strict=True) if count)
    if not counts or counts[-1][0] <= _VERY_UNEQUAL * counts[0][0]:
        return ""
    (least, rare), (most, frequent) = counts[0], counts[-1]
    return (
        f"classes are very unequal, from {least:,} clips of {for_terminal(rare, _LONGEST_NAME)!r} to {most:,} of "
        f"{for_terminal(frequent, _LONGEST_NAME)!r}: the recipe field data.class_balance draws rare ones more often, "
        'loss.name="class_weighted" has them weigh more, and mean_class is the accuracy in which all count alike'
    )
