"""Pictures of clips with captions: a PNG of their frames side by side, or a GIF that plays them."""

import dataclasses
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_file, make_folder
from motion_vit.outside_text import visible

_BACKGROUND = (255, 255, 255)
_INK = (0, 0, 0)
_FONT_SIZE = 12
_CAPTION_HEIGHT = 18
_GAP = 4
# Frames of a clip that a PNG shows, evenly spread; more would be too small to see.
_SHOWN_FRAMES = 8
_MILLISECONDS_A_FRAME = 125


@dataclasses.dataclass(frozen=True)
class CaptionedClip:
    """A clip and the caption above it.

    Attributes:
      caption: one line of text.
      clip: the frames, RGB.
    """

    caption: str
    clip: UInt8[np.ndarray, "t h w 3"]


def draw_sheet(rows: Sequence[Sequence[CaptionedClip]], path: pathlib.Path, *, height: int = 96) -> None:
    """Draws clips into a PNG or a GIF.

    Args:
      rows: for each sample its clips, such as before and after augmentation. A PNG has a line of frames for each clip,
        a GIF a line for each sample, with its clips side by side.
      path: the file to write, `.png` or `.gif`.
      height: pixels of a frame; its width follows.

    Raises:
      UserError: the name has another ending, or the file cannot be written.
    """
    if path.suffix not in (".png", ".gif"):
        raise UserError(f"cannot draw {path}: the name of the picture must end in .png or .gif")
    scaled = [[dataclasses.replace(clip, clip=_scale(clip.clip, height)) for clip in row] for row in rows]
    pictures = [_still(scaled)] if path.suffix == ".png" else _animation(scaled)
    make_folder(path.parent)
    with atomic_file(path) as file:
        pictures[0].save(
            file,
            path.suffix.removeprefix("."),
            save_all=len(pictures) > 1,
            append_images=pictures[1:],
            duration=_MILLISECONDS_A_FRAME,
            loop=0,
        )


def _scale(clip: UInt8[np.ndarray, "t h w 3"], height: int) -> UInt8[np.ndarray, "t h2 w2 3"]:
    width = max(1, round(clip.shape[2] * height / clip.shape[1]))
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in clip])


def _still(rows: Sequence[Sequence[CaptionedClip]]) -> Image.Image:
    """Draws every clip as a row of its frames."""
    lines = []
    for row in rows:
        for captioned in row:
            count = len(captioned.clip)
            chosen = np.linspace(0, count - 1, min(count, _SHOWN_FRAMES)).round().astype(int)
            frames = [CaptionedClip("", captioned.clip[[number]]) for number in chosen]
            frames[0] = dataclasses.replace(frames[0], caption=captioned.caption)
            lines.append(frames)
    return _grid(lines, 0)


def _animation(rows: Sequence[Sequence[CaptionedClip]]) -> list[Image.Image]:
    """Draws every sample as a row of its clips, at each time."""
    length = max(len(captioned.clip) for row in rows for captioned in row)
    return [_grid(rows, time) for time in range(length)]


def _shortened(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, room: int) -> str:
    """Cuts a line to the width `room`, in pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text + "..."


def _grid(rows: Sequence[Sequence[CaptionedClip]], time: int) -> Image.Image:
    """Draws one frame of every clip in a grid; a clip that is over keeps its last frame."""
    columns = max(map(len, rows))
    width = max(captioned.clip.shape[2] for row in rows for captioned in row)
    height = max(captioned.clip.shape[1] for row in rows for captioned in row)
    cell_width, cell_height = width + _GAP, height + _CAPTION_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, len(rows) * cell_height + _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for line, row in enumerate(rows):
        for column, captioned in enumerate(row):
            left, top = _GAP + column * cell_width, line * cell_height
            is_last = not any(later.caption for later in row[column + 1 :])
            room = sheet.width - left if is_last else cell_width
            caption = _shortened(visible(captioned.caption), font, room)
            pen.text((left, top + 2), caption, fill=_INK, font=font)
            frame = captioned.clip[min(time, len(captioned.clip) - 1)]
            sheet.paste(Image.fromarray(frame), (left, top + _CAPTION_HEIGHT))
    return sheet
