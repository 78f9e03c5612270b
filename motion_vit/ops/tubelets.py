"""The pixels of tubelets: a clip cut into boxes of a few frames, rows and columns, and put together again."""

from jaxtyping import Array, Float

Size = tuple[int, int, int]
"""Frames, rows and columns of a tubelet in pixels."""


def tubelet_pixels(clips: Float[Array, "b t h w c"], size: Size) -> Float[Array, "b t2 places pixels c"]:
    """Collects the pixels of each tubelet, in the order of frames, rows and columns.

    Args:
      clips: to be cut, in pixels or any other values.
      size: of a tubelet.

    Returns:
      For each frame of tubelets its places row by row, and of each its pixels.

    Raises:
      ValueError: a clip is no whole number of tubelets.
    """
    batch, frames, height, width, channels = clips.shape
    depth, rows, columns = size
    if frames % depth or height % rows or width % columns:
        raise ValueError(
            f"expected clips of a whole number of tubelets of {depth} x {rows} x {columns} pixels, got {clips.shape}"
        )
    grid = frames // depth, height // rows, width // columns
    cut = clips.reshape(batch, grid[0], depth, grid[1], rows, grid[2], columns, channels)
    boxes = cut.transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return boxes.reshape(batch, grid[0], grid[1] * grid[2], depth * rows * columns, channels)


def clips_of_tubelets(
    pixels: Float[Array, "b t2 places pixels c"], size: Size, *, rows_of_tubelets: int
) -> Float[Array, "b t h w c"]:
    """Puts clips together from the pixels of their tubelets: the inverse of `tubelet_pixels`.

    Args:
      pixels: of all tubelets.
      size: of a tubelet.
      rows_of_tubelets: how many rows the places of a frame make.

    Returns:
      The clips.
    """
    batch, frames, places, _, channels = pixels.shape
    depth, rows, columns = size
    across = places // rows_of_tubelets
    boxes = pixels.reshape(batch, frames, rows_of_tubelets, across, depth, rows, columns, channels)
    cut = boxes.transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return cut.reshape(batch, frames * depth, rows_of_tubelets * rows, across * columns, channels)
