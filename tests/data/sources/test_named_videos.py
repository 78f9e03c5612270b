"""Names of videos: files, folders, patterns and lists; a name that leads to nothing costs none of the others."""

import itertools
import os
import pathlib
import random

import pytest

from motion_vit import UserError
from motion_vit.data.sources.named_videos import NamedVideo, find_videos


@pytest.fixture
def tree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Makes files by their names, which is all that is looked at."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("clips/b.mp4", "clips/a.MKV", "clips/notes.txt", "clips/.hidden.mp4", "clips/deep/er/c.webm"),
        *("clips/frames/1.jpg", "clips/frames/2.jpg", "clips/.git/d.mp4", "frames/1.png", "frames/notes.txt"),
        *("mixed/1.jpg", "mixed/a.mp4", "covers/cover.jpg", "covers/films/a.mp4", "[odd]*.mp4", "o.mp4"),
        "prepared/manifest.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("path,start,end\no.mp4,1,2\nabsent.mp4,,\nclips/b.mp4,,3\no.mp4,0,\n")
    return tmp_path


def paths(*names: str) -> list[str]:
    found = find_videos(names)
    assert not [video.error for video in found if video.error]
    return [video.path for video in found]


def error_of(name: str) -> str:
    (found,) = find_videos([name])
    assert found.path == name
    assert found.error
    return found.error


IN_CLIPS = ["clips/a.MKV", "clips/b.mp4", "clips/deep/er/c.webm", "clips/frames"]


@pytest.mark.usefixtures("tree")
def test_a_folder_stands_for_its_videos_and_one_of_frames_for_one_video() -> None:
    assert paths("clips") == IN_CLIPS
    assert paths("frames", "o.mp4", "clips/frames") == ["frames", "o.mp4", "clips/frames"]


@pytest.mark.usefixtures("tree")
def test_a_pattern_stands_for_what_it_matches_unless_a_file_has_its_name() -> None:
    assert paths("clips/**/*.mp4", "cl*") == ["clips/b.mp4", *IN_CLIPS]
    assert paths("[odd]*.mp4") == ["[odd]*.mp4"]
    assert paths("[o].mp4") == ["o.mp4"]
    assert error_of("no*.mp4") == "no file has this name, or matches it as a pattern"


def test_a_list_stands_for_its_rows_with_or_without_labels(tree: pathlib.Path) -> None:
    rows = find_videos(["list.csv"], start=0.5, end=9)
    assert [(os.path.relpath(row.path), row.start, row.end) for row in rows] == [
        ("o.mp4", 1, 2),
        ("absent.mp4", 0.5, 9),  # reading it says that it is missing
        ("clips/b.mp4", 0, 3),
        ("o.mp4", 0, None),
    ]
    (tree / "list.csv").write_text("path,label,split\no.mp4,,train\nclips/b.mp4,wave,test\n")
    assert [os.path.relpath(path) for path in paths("list.csv")] == ["o.mp4", "clips/b.mp4"]
    (tree / "list.csv").write_text("label\nwave\n")
    assert "lacks the column path: its first line is 'label', expected a header with path" in error_of("list.csv")
    (tree / "list.csv").unlink()
    os.mkfifo(tree / "list.csv")
    assert "It is a named pipe" in error_of("list.csv")


@pytest.mark.usefixtures("tree")
def test_a_name_that_leads_to_no_video_says_why() -> None:
    assert "there is no video in it" in error_of("empty")
    assert "it is a prepared folder; `motion-vit evaluate` reads" in error_of("prepared")
    assert "pictures (*.jpg, *.jpeg, *.png) beside videos, so that it may be one video or several" in error_of("mixed")
    assert "beside videos" in error_of("covers")
    assert "only local paths are read" in error_of("gs://bucket/*.mp4")
    assert "is no path" in error_of("")
    assert "is no path" in error_of("a\0*")
    # Reading it says what is wrong.
    assert find_videos(["absent.mp4", "absent.csv"])[0] == NamedVideo("absent.mp4")


def test_links_are_followed_but_not_in_circles(tree: pathlib.Path) -> None:
    (tree / "empty" / "clips").symlink_to(tree / "clips")
    (tree / "clips" / "up").symlink_to(tree)
    (tree / "clips" / "itself").symlink_to("itself")
    (tree / "clips" / "z.mp4").symlink_to("nowhere")
    found = [video.path for video in find_videos(["empty"])]
    assert "empty/clips/b.mp4" in found
    assert "empty/clips/z.mp4" in found
    assert len(found) < 50
    (tree / "deep" / "/".join("d" * 120)).mkdir(parents=True)
    (nested,) = find_videos(["deep"])
    assert nested.error == "folders are nested more than 100 deep; name the one that is meant"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("tree")
def test_a_name_that_leads_to_nothing_costs_none_of_the_others(seed: int) -> None:
    rng = random.Random(seed)
    good = {
        "clips": IN_CLIPS,
        "o.mp4": ["o.mp4"],
        "frames": ["frames"],
        "clips/*/*.jpg": [f"clips/frames/{n}.jpg" for n in (1, 2)],
    }
    bad = ["empty", "prepared", "mixed", "no*.mp4", "s3://x", ""]
    names = rng.choices([*good, *bad], k=12)
    found = find_videos(names)
    assert [video.path for video in found] == list(itertools.chain(*(good.get(name, [name]) for name in names)))
    assert [video.path for video in found if video.error] == [name for name in names if name in bad]


@pytest.mark.parametrize(
    ("start", "end"), [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (0.0, float("nan"))]
)
def test_a_part_that_ends_before_it_starts_is_a_mistake(start: float, end: float | None) -> None:
    with pytest.raises(UserError, match="must start at 0 s or later and end after its start"):
        find_videos(["a.mp4"], start=start, end=end)
