"""Ranges of what a probe takes."""

from motion_vit.ranges import Number, Whole

NEIGHBORS = Whole(1, 1_000_000)
"""Neighbours that vote."""

TEMPERATURE = Number(0, 1000, above=True)
"""Temperature of their votes."""
