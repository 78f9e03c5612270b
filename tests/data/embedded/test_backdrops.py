"""Still pictures behind an object."""

import numpy as np
import pytest

from motion_vit.data.embedded.backdrops import BACKDROPS, draw_backdrop, draw_stripes
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, object_motion, render_clip, render_object


@pytest.mark.parametrize("name", BACKDROPS)
def test_a_backdrop_is_another_for_each_draw(name: str) -> None:
    first, again, other = (draw_backdrop(name, np.random.default_rng(seed), 32) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_stripes_have_a_colour_and_its_complement_in_the_published_shares() -> None:
    shares = []
    for seed in range(30):
        picture = draw_stripes(np.random.default_rng(seed), 96)
        colours = np.unique(picture.reshape(-1, 3), axis=0).astype(int)
        assert len(colours) <= 2
        if len(colours) == 2:
            assert np.abs(colours.sum(axis=0) - 255).max() <= 1
            shares.append(min(np.mean((picture == colour).all(axis=-1)) for colour in colours))
    assert len(shares) > 25
    # Lines of two half-widths come every three to five: they cover two thirds to two fifths, the other colour the rest.
    assert np.mean(shares) == pytest.approx(0.435, abs=0.05)


def test_stripes_of_any_size_are_the_same_picture() -> None:
    small, large = (draw_stripes(np.random.default_rng(11), size).astype(float) for size in (48, 96))
    halved = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.mean(np.abs(halved - small) < 1) > 0.7


@pytest.mark.parametrize("label", ["right", "up", "shrink"])
def test_an_object_moves_over_a_backdrop_as_in_its_clip(label: str) -> None:
    backdrop = np.zeros((48, 48, 3), np.uint8)
    moving, clip = render_object(label, 3, backdrop, frames=7), render_clip(label, 3, frames=7, size=48)
    same = (np.abs(moving.astype(int) - clip) <= 1).all(axis=-1)
    if label != "shrink":
        cover = object_motion(label, 3, frames=7, size=48).cover
        assert same[cover == 1].all()
        assert (moving[cover == 0] == 0).all()
    assert 0.15 < same.mean() < 0.6
    chosen = render_object(label, 3, backdrop, frames=7, shown=(5, 0))
    np.testing.assert_array_equal(chosen, moving[[5, 0]])


def test_the_mean_colour_of_a_frame_tells_the_look_and_not_the_motion() -> None:
    colours = np.array(
        [
            [render_clip("up", seed, frames=1, size=32, look=look).mean(axis=(0, 1, 2)) for look in MOTION_CLASSES]
            for seed in range(8)
        ]
    )
    known = colours[:4].mean(axis=0)
    found = np.linalg.norm(colours[4:, :, None] - known, axis=-1).argmin(axis=-1)
    assert np.mean(found == np.arange(len(MOTION_CLASSES))) > 0.7
    clips = [render_clip(label, 5, frames=3, size=32, look="left") for label in ("up", "down")]
    np.testing.assert_array_equal(clips[0], clips[1][::-1])
