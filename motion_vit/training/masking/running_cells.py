"""Running cells: the part of the tokens that VideoMAE V2's decoder computes.

Source: `RunningCellMaskingGenerator` in `masking_generator.py` of OpenGVLab/VideoMAEv2 (arXiv 2303.16727, section 3.2).
"""

import numpy as np
from jaxtyping import Bool, Int

CELL = 2
"""Rows and columns of a cell."""

DROPPED_SHARES = (0.0, 0.25, 0.5, 0.75)
"""Shares of a cell that can be left out."""

STARTS = CELL * CELL
"""Patterns to draw from: the places of a cell that the pattern can begin at."""


def dropped_cells(frames: int, rows: int, columns: int, share: float) -> Bool[np.ndarray, "starts t places"]:
    """Tells which tokens the decoder leaves out, for each start of the pattern.

    Of each cell of 2 x 2 places the same ones are left out, and from each frame to the next the pattern moves on by one
    place of the cell, counted row by row.

    Args:
      frames: frames of tokens.
      rows: rows of a frame, an even number.
      columns: columns of a frame, likewise.
      share: of the places of a cell that are left out: 0.25, 0.5 or 0.75.

    Returns:
      For each start and frame the places, row by row.
    """
    unit = np.arange(STARTS) < round(STARTS * share)
    turned = [[np.roll(unit, -(start + frame + 1)) for frame in range(frames)] for start in range(STARTS)]
    cells = np.array(turned).reshape(STARTS, frames, CELL, CELL)
    return np.tile(cells, (1, 1, rows // CELL, columns // CELL)).reshape(STARTS, frames, rows * columns)


def kept_places(frames: int, rows: int, columns: int, share: float) -> Int[np.ndarray, "starts t kept"]:
    """Lists the places that the decoder computes, as many in each frame; see `dropped_cells`."""
    dropped = dropped_cells(frames, rows, columns, share)
    kept = rows * columns - int(dropped[0, 0].sum())
    return np.nonzero(~dropped)[2].reshape(STARTS, frames, kept)
