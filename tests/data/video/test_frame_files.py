"""The order of frame files: that of the last number in their names; gaps and doubtful names are told."""

import random

import pytest

from motion_vit.data.video.frame_files import FrameOrderError, is_frame, order_frames

PATTERNS = [
    "{}.jpg",
    "{:05d}.jpg",
    "frame{}.jpg",
    "img_{:05d}.JPG",
    "clip12_frame{}.jpeg",
    "2024-01-05 {}.png",
    "frame_{}_left.Png",
    "a.b.{}.jpg",
    "\u5e27{:03d}.jpg",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_frames_of_a_pattern_come_in_the_order_of_their_numbers(pattern: str) -> None:
    draw = random.Random(pattern)
    for _ in range(20):
        first = draw.choice([0, 1, 7, 95, 998])
        step = draw.choice([1, 1, 5])
        names = [pattern.format(first + step * number) for number in range(draw.randint(1, 30))]
        shuffled = draw.sample(names, len(names))
        hidden = [f"._{name}" for name in names] + [".hidden1.jpg", "Thumbs.db", "times.txt"]
        assert order_frames(shuffled + hidden).names == tuple(names)
        assert order_frames(shuffled + hidden).doubts == ()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_gap_is_found(pattern: str) -> None:
    draw = random.Random(pattern)
    for _ in range(20):
        count = draw.randint(6, 30)
        missing = draw.randrange(2, count - 1)
        names = [pattern.format(number) for number in range(1, count + 1) if number != missing]
        found = order_frames(draw.sample(names, len(names)))
        assert found.names == tuple(names)
        gap = f"{pattern.format(missing - 1)} is followed by {pattern.format(missing + 1)}"
        assert found.doubts == (f"frames are missing: {gap}",)


def test_many_gaps_are_counted() -> None:
    (doubt,) = order_frames(f"{number}.jpg" for number in (1, 2, 4, 6, 8, 10, 12)).doubts
    assert doubt.endswith(
        "2.jpg is followed by 4.jpg, 4.jpg is followed by 6.jpg, 6.jpg is followed by 8.jpg and 2 more"
    )


def test_numbers_before_the_last_count_where_it_repeats() -> None:
    found = order_frames(["part2_1.jpg", "part10_1.jpg", "part1_10.jpg", "part1_9.jpg"])
    assert found.names == ("part1_9.jpg", "part1_10.jpg", "part2_1.jpg", "part10_1.jpg")
    assert "the last numbers repeat" in found.doubts[0]


def test_names_of_several_patterns_are_told() -> None:
    found = order_frames(["b_2.jpg", "a_1.jpg", "a_3.jpg"])
    assert found.names == ("a_1.jpg", "b_2.jpg", "a_3.jpg")
    assert found.doubts == ("file names of 2 patterns, in the order of their last numbers: a_#.jpg (2), b_#.jpg (1)",)


def test_files_without_a_number_beside_numbered_ones_are_left_out_and_told() -> None:
    found = order_frames(["cover.jpg", "2.jpg", "1.jpg", "3.webp"])
    assert found.names == ("1.jpg", "2.jpg")
    assert found.doubts == (
        "left out, for frames are *.jpg, *.jpeg, *.png: 3.webp",
        "left out, for want of a number: cover.jpg",
    )


def test_names_without_numbers_are_sorted() -> None:
    assert order_frames(["b.jpg", "c.png", "a.jpg"]).names == ("a.jpg", "b.jpg", "c.png")


@pytest.mark.parametrize(
    "names",
    [
        ["1.jpg", "01.jpg"],
        ["1.jpg", "1.png"],
        ["img_1.jpg", "flow_x_1.jpg", "flow_y_1.jpg"],
        ["frame1.jpg", "frame1 copy.jpg", "frame2.jpg"],
        ["a1_2.jpg", "a01_2.jpg"],
    ],
)
def test_equal_numbers_leave_the_order_open(names: list[str]) -> None:
    with pytest.raises(FrameOrderError, match="have the same number"):
        order_frames(names)


def test_a_folder_without_frames_has_none() -> None:
    assert order_frames([]).names == order_frames(["a.txt", ".1.jpg"]).names == ()
    assert is_frame("1.JPEG")
    assert not is_frame("._1.jpg")
    assert not is_frame("jpg")
