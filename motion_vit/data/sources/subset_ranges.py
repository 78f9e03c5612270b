"""Ranges of the sizes of subsets."""

from motion_vit.ranges import Number, Whole

SHOTS = Whole(1, 1_000_000)
"""Clips of each class."""

SUBSET_SHARE = Number(0, 1, above=True)
"""Share of the clips of each class."""
