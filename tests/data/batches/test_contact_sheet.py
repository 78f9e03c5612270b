import pathlib

import numpy as np
import pytest
from PIL import Image

from motion_vit.data.batches.contact_sheet import CaptionedClip, draw_sheet
from motion_vit.errors import UserError


def clip(level: int, frames: int = 4, height: int = 32, width: int = 48) -> np.ndarray:
    """Frames of one brightness each, rising by 20."""
    levels = level + 20 * np.arange(frames)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3)).astype(np.uint8)


def test_a_png_shows_the_frames_of_every_clip_side_by_side_in_order(tmp_path: pathlib.Path) -> None:
    rows = [[CaptionedClip("before", clip(0)), CaptionedClip("after", clip(100))]]
    draw_sheet(rows, tmp_path / "sheet.png", height=32)
    with Image.open(tmp_path / "sheet.png") as picture:
        pixels = np.asarray(picture)
    line_height = pixels.shape[0] // 2
    for line, level in enumerate((0, 100)):
        middle = pixels[line * line_height + 18 + 16]
        shown = [middle[4 + column * 52 + 24, 0] for column in range(4)]
        assert shown == [level, level + 20, level + 40, level + 60]


def test_a_gif_plays_as_many_frames_as_the_longest_clip(tmp_path: pathlib.Path) -> None:
    rows = [[CaptionedClip("a", clip(0, frames=3))], [CaptionedClip("b", clip(90, frames=5, width=32))]]
    draw_sheet(rows, tmp_path / "sheet.gif", height=32)
    with Image.open(tmp_path / "sheet.gif") as picture:
        assert picture.n_frames == 5


def test_a_long_caption_does_not_run_into_the_next_clip(tmp_path: pathlib.Path) -> None:
    def column_of_second_clip(caption: str) -> np.ndarray:
        rows = [[CaptionedClip(caption, clip(0)), CaptionedClip("x", clip(0))]]
        draw_sheet(rows, tmp_path / "sheet.gif", height=32)
        with Image.open(tmp_path / "sheet.gif") as picture:
            return np.asarray(picture.convert("L"))[:18, 60:]

    np.testing.assert_array_equal(column_of_second_clip("a"), column_of_second_clip("a very long name of a class"))


def test_another_kind_of_file_is_a_user_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.png or \.gif"):
        draw_sheet([[CaptionedClip("a", clip(0))]], tmp_path / "sheet.tiff")
