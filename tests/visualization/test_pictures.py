"""Contact sheets and moving pictures of planted maps."""

import dataclasses
import pathlib

import numpy as np
import planted_maps as planted
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from motion_vit.data.video.probing import check_video
from motion_vit.visualization.animation import overlay_pictures, write_gif, write_mp4
from motion_vit.visualization.contact_sheets import motion_sheet, scalar_sheet
from motion_vit.visualization.drawing import draw_frame, draw_motion, draw_scalar
from motion_vit.visualization.tables import cost_volume_sheet, frame_attention_sheet, prompt_sheet

POINT = (25.0, 45.0)  # in the patch at row 2, column 3
SCALE = 4


def bare_axes() -> Figure:
    """A picture of SCALE pixels for each pixel of the planted video, and nothing else."""
    figure = Figure(figsize=(90 * SCALE / 100, 60 * SCALE / 100), dpi=100)
    FigureCanvasAgg(figure)
    figure.add_axes((0, 0, 1, 1))
    return figure


def pixel(figure: Figure, y: float, x: float) -> list[int]:
    """The colour at a place of the video."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[round(y * SCALE), round(x * SCALE), :3].tolist()


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_a_map_lies_over_its_own_patch_of_the_video_and_over_no_other() -> None:
    figure = bare_axes()
    draw_frame(figure.axes[0], planted.clip(), 1)
    draw_scalar(figure.axes[0], planted.scalar(), 0, 1, opacity=1.0)
    bright, dark = [252, 253, 191], [0, 0, 4]  # the ends of magma
    # Row 2 is y from 20 to 30; column 3 is x from 45 to 55, because the crop begins at 15.
    for y, x in ((20.5, 45.5), (29.3, 54.3), (25, 50)):
        assert pixel(figure, y, x) == pytest.approx(bright, abs=2)
    for y, x in ((19.3, 50), (30.6, 50), (25, 44.3), (25, 55.6)):
        assert pixel(figure, y, x) == pytest.approx(dark, abs=2)
    assert pixel(figure, 25, 10) == [90, 90, 90]  # outside of the crop: the frame itself
    assert pixel(figure, 25, 80) == [90, 90, 90]


def test_motion_has_the_colour_of_its_direction() -> None:
    figure = bare_axes()
    draw_frame(figure.axes[0], planted.clip(), 0)
    draw_motion(figure.axes[0], planted.motion(), 1, 0, opacity=1.0)
    red, green, blue = pixel(figure, 1, 16)
    assert red > 200 > green > blue  # right and a little down: between red and yellow


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (
            lambda: motion_sheet(planted.clip(), planted.motion(), heading="a.mp4", point=POINT),
            ("a.mp4", "stage3/block0", "pixels in 0.20 s", "frame 5, 0.20 s", "confidence", "head 2"),
        ),
        (
            lambda: scalar_sheet(planted.clip(), planted.scalar(), heading="a.mp4"),
            ("a.mp4", "Class activation", "norm_output", "logit", "up", "down"),
        ),
        (
            lambda: cost_volume_sheet(planted.clip(), planted.motion(), heading="a.mp4", point=POINT),
            ("a.mp4", "stage3/block0", "row 3, column 4", "softmax", "affinity (logit)", "to frame 10"),
        ),
        (
            lambda: frame_attention_sheet(planted.frame_attention(), heading="a.mp4"),
            ("a.mp4", "stage1/block0/motion", "a row adds up to 1", "frame that attends"),
        ),
        (lambda: prompt_sheet(planted.curve(), heading="a.mp4"), ("a.mp4", "slope a = 10.00", "shift b = 0.200")),
    ],
)
def test_every_picture_says_what_it_shows_and_in_which_unit(figure, expected: tuple[str, ...], tmp_path) -> None:
    picture = figure()
    said = words(picture)
    assert [part for part in expected if part not in said] == []
    picture.savefig(tmp_path / "picture.png", dpi=20)


def test_a_field_of_nearly_even_weights_is_marked() -> None:
    motion = planted.motion()
    assert "displacements are nearly equally likely" not in words(motion_sheet(planted.clip(), motion, heading="a.mp4"))
    motion.field.confidence[:] = 0.001
    assert "displacements are nearly equally likely" in words(motion_sheet(planted.clip(), motion, heading="a.mp4"))


def test_names_are_no_mathematics_and_long_titles_stay_within_the_picture() -> None:
    scalar = dataclasses.replace(planted.scalar(), channels=("a $x_$ b $", "up"))
    figure = scalar_sheet(planted.clip(), scalar, heading="$cost_$ of " + 12 * "a long name ")
    figure.canvas.draw()
    (title,) = (text for text in figure.texts if "$cost_$" in text.get_text())
    assert title.get_window_extent().width <= figure.bbox.width


def test_only_the_attention_of_the_chosen_patch_frames_it() -> None:
    framed = [
        sum(isinstance(patch, Rectangle) and patch.get_width() == 10 for axes in figure.axes for patch in axes.patches)
        for figure in (
            scalar_sheet(
                planted.clip(), dataclasses.replace(planted.scalar(), of_point=own), heading="a.mp4", point=POINT
            )
            for own in (False, True)
        )
    ]
    assert framed == [0, 2]  # in the first frame of each of two channels


def test_a_track_follows_the_planted_motion_until_it_leaves_the_crop() -> None:
    track = planted.motion().track(1, *POINT)
    np.testing.assert_allclose(track[:2], [POINT, (POINT[0] + 10, POINT[1] + 20)])
    assert np.isnan(track[2:]).all()  # 85 is right of the crop, which ends at 75


def test_moving_pictures_have_a_picture_for_each_frame(tmp_path: pathlib.Path) -> None:
    pictures = list(overlay_pictures(planted.clip(), planted.motion(), channel=1, heading="a.mp4", point=POINT))
    assert len(pictures) == planted.FRAMES
    assert len({picture.shape for picture in pictures}) == 1
    assert not any(side % 2 for side in pictures[0].shape[:2])
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 20
    write_gif(pictures, tmp_path / "a.gif", seconds=0.5)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (planted.FRAMES, 500)
    write_mp4(pictures, tmp_path / "a.mp4", seconds=0.5)
    info = check_video(str(tmp_path / "a.mp4"))
    assert info.frames / info.fps == pytest.approx(0.5 * planted.FRAMES)
