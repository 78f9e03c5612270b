"""Maps the tokens of a layer to the pixels and frames of the video that they were made of.

Places in a video are `(y, x)`, measured in its upright pixels from the upper left corner of its first pixel: the pixel
of row 0 reaches from 0 to 1 and has its centre at 0.5.
"""

import dataclasses
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization.clip_view import ClipView, check_in_box

Maps = Float[np.ndarray, "t h w"]

_Places = TypeVar("_Places", float, np.ndarray)


@dataclasses.dataclass(frozen=True)
class TokenGrid:
    """The tokens of a layer as a grid over a video.

    Attributes:
      frames: frames of tokens.
      rows: rows of tokens.
      columns: columns of tokens.
      clip_frames: for each frame of tokens, the clip's frame in the middle of its input.
      frame_numbers: number in the video of each frame of the clip.
      times: second in the video of each frame of the clip; None where the video has no times.
      video_size: height and width of the video.
      box: top, left, height and width of the part of the video that the tokens are made of.
      stride: height and width of a token, which is the distance of neighbours.
      first_centre: centre of the first row and column of tokens.
    """

    frames: int
    rows: int
    columns: int
    clip_frames: tuple[int, ...]
    frame_numbers: tuple[int, ...]
    times: tuple[float, ...] | None
    video_size: tuple[int, int]
    box: tuple[float, float, float, float]
    stride: tuple[float, float]
    first_centre: tuple[float, float]

    def centre(self, row: _Places, column: _Places) -> tuple[_Places, _Places]:
        """Returns the centre of a token, or of an array of them; fractions are places between centres."""
        return self.first_centre[0] + row * self.stride[0], self.first_centre[1] + column * self.stride[1]

    def patch_box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Returns top, left, height and width of the token's share of the video: the places nearest to its centre."""
        rows, columns = self.edges
        return (
            float(rows[row]),
            float(columns[column]),
            float(rows[row + 1] - rows[row]),
            float(columns[column + 1] - columns[column]),
        )

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the edges between the shares of rows, and of columns: one more than there are.

        The outer ones are the edges of the tokens' area. The shares of convolutions at the border are smaller or larger
        than the others: their centres are not in the middle of a stride.
        """
        ends = []
        for count, stride, centre, start, length in zip(
            (self.rows, self.columns), self.stride, self.first_centre, self.box[:2], self.box[2:], strict=True
        ):
            between = centre + (np.arange(1, count) - 0.5) * stride
            ends.append(np.concatenate([[start], between, [start + length]]))
        return ends[0], ends[1]

    def patch_at(self, y: float, x: float) -> tuple[int, int]:
        """Returns row and column of the token whose centre is nearest to a place.

        Raises:
          UserError: the tokens do not cover this place.
        """
        check_in_box(y, x, self.box, self.video_size)
        row, column = self.token_place(y, x)
        return (
            int(np.clip(np.floor(row + 0.5), 0, self.rows - 1)),
            int(np.clip(np.floor(column + 0.5), 0, self.columns - 1)),
        )

    def token_place(self, y: float, x: float) -> tuple[float, float]:
        """Converts a place to rows and columns of tokens; whole numbers are the centres of tokens."""
        return (y - self.first_centre[0]) / self.stride[0], (x - self.first_centre[1]) / self.stride[1]

    @property
    def token_frames(self) -> tuple[int, ...]:
        """The frame of tokens nearest in time to each frame of the clip, the earlier of two equally near ones."""
        middles = np.asarray(self.clip_frames)
        distances = np.abs(np.arange(len(self.frame_numbers))[:, None] - middles)
        return tuple(int(frame) for frame in distances.argmin(axis=1))

    def scaled(self, factor: float) -> "TokenGrid":
        """Scales the grid for a video of another size, for drawing; sizes are rounded."""
        height, width = (max(1, round(side * factor)) for side in self.video_size)
        down, right = height / self.video_size[0], width / self.video_size[1]
        top, left, high, wide = self.box
        return dataclasses.replace(
            self,
            video_size=(height, width),
            box=(top * down, left * right, high * down, wide * right),
            stride=(self.stride[0] * down, self.stride[1] * right),
            first_centre=(self.first_centre[0] * down, self.first_centre[1] * right),
        )

    def to_video(self, maps: Maps) -> Float32[np.ndarray, "t height width"]:
        """Resizes maps of tokens to the video, bilinear between the centres of tokens and constant outside of them.

        Args:
          maps: one for each frame of tokens, or for some of them.

        Returns:
          As many maps of the size of the video; NaN where no token is. Every frame is as large as the video: use a
          `scaled` grid for large ones.

        Raises:
          UserError: the maps do not belong to this grid.
        """
        if maps.ndim != 3 or maps.shape[1:] != (self.rows, self.columns):
            raise UserError(
                f"expected maps [t, {self.rows}, {self.columns}] of this layer's tokens, given the shape {maps.shape}"
            )
        top, left, height, width = self.box
        rows = _interpolation(self.video_size[0], self.first_centre[0], self.stride[0], self.rows)
        columns = _interpolation(self.video_size[1], self.first_centre[1], self.stride[1], self.columns)
        video = np.einsum("yh,thw,xw->tyx", rows, maps.astype(np.float32), columns, optimize=True)
        video[:, _outside(self.video_size[0], top, height)] = np.nan
        video[:, :, _outside(self.video_size[1], left, width)] = np.nan
        return video


def token_grid(model: VideoModel, name: str, view: ClipView) -> TokenGrid:
    """Makes the grid of an intermediate's tokens.

    Args:
      model: a model of `motion_vit.create_model`.
      name: a name of `motion_vit.models.intermediates`.
      view: place of the clip in the video.

    Returns:
      The grid.

    Raises:
      UserError: the intermediate has no places in the frame.
    """
    layout = model.token_layout(name, (len(view.frame_numbers), view.size, view.size, 3))
    down, right = view.scale
    top, left, _, _ = view.box
    return TokenGrid(
        frames=layout.frames,
        rows=layout.rows,
        columns=layout.columns,
        clip_frames=layout.clip_frames,
        frame_numbers=view.frame_numbers,
        times=view.times,
        video_size=view.video_size,
        box=(top, left, layout.seen[0] * down, layout.seen[1] * right),
        stride=(layout.stride * down, layout.stride * right),
        first_centre=(top + layout.first_centre * down, left + layout.first_centre * right),
    )


def _interpolation(
    pixels: int, first_centre: float, stride: float, tokens: int
) -> Float32[np.ndarray, "pixels tokens"]:
    """Computes the weights of the tokens for each pixel along one axis."""
    places = np.clip((np.arange(pixels) + 0.5 - first_centre) / stride, 0, tokens - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(tokens))).astype(np.float32)


def _outside(pixels: int, start: float, length: float) -> Bool[np.ndarray, " pixels"]:
    """Marks the pixels along one axis whose centres lie outside of an interval."""
    centres = np.arange(pixels) + 0.5
    return (centres < start) | (centres >= start + length)
