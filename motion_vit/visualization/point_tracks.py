"""Follows chosen points through a clip by a displacement field."""

import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.token_grid import TokenGrid


def follow(
    field: DisplacementField, start: Float[np.ndarray, "*points 2"], grid: TokenGrid, *, first_frame: int = 0
) -> Float[np.ndarray, "t *points 2"]:
    """Follows points.

    From frame to frame a point moves by the flow at its place, bilinear between the centres of the patches around it.
    Where the frames of a pair are several apart, it moves by that part of the flow. The last frames, which start no
    pair, use the flow of the last pair, as the model does.

    Args:
      field: displacements of one clip, `flow` `[n, h, w, 2]`, from each frame to a later one.
      start: `(y, x)` of each point in pixels of the video.
      grid: places of the field's tokens.
      first_frame: frame of tokens that the points start in.

    Returns:
      For each frame of tokens `(y, x)` of each point in pixels of the video, float64; NaN before the first frame, and
      after a point has left the area of the tokens.

    Raises:
      UserError: the field is not of one clip or leads to earlier frames, or there is no such first frame.
    """
    flow = np.asarray(field.flow, np.float64)
    if flow.ndim != 4 or flow.shape[1:3] != (grid.rows, grid.columns) or field.frame_offset < 1:
        raise UserError(
            f"points are followed through a field [pairs, {grid.rows}, {grid.columns}, 2] of one clip that leads to "
            f"later frames; given the shape {flow.shape} and frame offset {field.frame_offset}"
        )
    if not 0 <= first_frame < grid.frames:
        raise UserError(f"the clip has the frames 0 to {grid.frames - 1} of tokens; given {first_frame}")
    # To (y, x) in pixels and to the time of one frame.
    velocity = flow[..., ::-1] * np.asarray(grid.stride) / field.frame_offset
    place = np.asarray(start, np.float64)
    points = place.reshape(-1, 2)
    track = np.full((grid.frames, *points.shape), np.nan)
    for frame in range(first_frame, grid.frames):
        track[frame] = np.where(_seen(points, grid)[:, None], points, np.nan)
        points = track[frame] + _sample(velocity[min(frame, len(velocity) - 1)], track[frame], grid)
    return track.reshape(grid.frames, *place.shape)


def _seen(points: Float[np.ndarray, "n 2"], grid: TokenGrid) -> np.ndarray:
    """Tells if each point lies in the area of the tokens."""
    corner, extent = np.asarray(grid.box[:2]), np.asarray(grid.box[2:])
    return ((points >= corner) & (points < corner + extent)).all(axis=-1)


def _sample(
    field: Float[np.ndarray, "h w 2"], points: Float[np.ndarray, "n 2"], grid: TokenGrid
) -> Float[np.ndarray, "n 2"]:
    """Interpolates a field between the centres of tokens; NaN at points that are NaN."""
    places = (points - np.asarray(grid.first_centre)) / np.asarray(grid.stride)
    last = np.asarray([grid.rows - 1, grid.columns - 1])
    places = np.clip(places, 0, last)
    known = np.nan_to_num(places)
    low = np.floor(known).astype(int)
    high = np.minimum(low + 1, last)
    down, right = (places - low).T[..., None]
    upper = field[low[:, 0], low[:, 1]] * (1 - right) + field[low[:, 0], high[:, 1]] * right
    lower = field[high[:, 0], low[:, 1]] * (1 - right) + field[high[:, 0], high[:, 1]] * right
    return upper * (1 - down) + lower * down
