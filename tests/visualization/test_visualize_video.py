"""`motion_vit.visualize`: from a video and a model, or where it is, to pictures."""

import dataclasses
import pathlib
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

import motion_vit
from motion_vit.data.video.encoding import write_video
from motion_vit.training.recipe.config import default_config
from motion_vit.visualization import visualization, visualize


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Noise that moves to the right."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path_factory.mktemp("video") / "moving.mp4"
    write_video(path, np.stack([np.roll(picture, 4 * frame, axis=1) for frame in range(8)]))
    return path


@pytest.fixture
def trained(small_model):
    small = small_model("videomae")
    config = default_config()
    config.model.name = "videomae"
    config.data.frames, config.data.size = small.model.frames, small.model.image_size
    return motion_vit.TrainedModel(small.model, small.variables, ("ape", "bee", "cat", "dog", "elk"), config, step=7)


def test_pictures_are_written_where_a_folder_is_given(trained, video, tmp_path):
    seen = motion_vit.visualize(video, trained, tmp_path / "seen", what=["motion"], formats=["npz", "html"])
    assert {file.name for file in (tmp_path / "seen").iterdir()} == {"maps.npz", "index.html"}
    assert seen.what == ("motion",)
    assert [file.name for file in tmp_path.iterdir()] == ["seen"]


def test_nothing_is_computed_for_a_folder_that_holds_something(trained, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(motion_vit.UserError, match="not empty"):
        motion_vit.visualize("absent.mp4", trained, tmp_path)


def test_a_folder_without_a_model_is_named(video, tmp_path):
    with pytest.raises(motion_vit.UserError, match=r"there is no checkpoint in .*absent"):
        motion_vit.visualize(video, tmp_path / "absent")


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"formats": ["jpeg"]}, r"formats has 'jpeg', but each entry must be one of png, gif, mp4, npz, html"),
        ({"formats": "jpeg"}, "formats has 'jpeg'"),
        ({"formats": ()}, "formats is empty"),
        ({"formats": None}, "formats is None, but must be a text or a list of texts"),
        ({"what": ["cams"]}, r"what has 'cams', but each .* Did you mean 'cam'\?"),
        ({"what": "cams"}, "what has 'cams'"),
        ({"what": 3}, "what is 3, but must be a text"),
        ({"what": [["cam"]]}, "what is .*, but must be a text"),
        ({"layers": [3]}, r"layers is \[3\], but must be a text"),
        ({"layers": None}, "layers is None, but must be a text"),
        *[
            ({"point": point}, r"point is .*, but must be two numbers \(y, x\)")
            for point in (3, (1,), (1, 2, 3), "12", ("1", "2"), (float("nan"), 1), {}, (None, 1))
        ],
        ({"classes": ("ape", "bee")}, "classes is .*, but must be a text: a class, or two to compare as 'one,other'"),
        ({"classes": None}, "classes is None"),
        ({"start": "1"}, "start is '1', but must be a number from 0"),
        ({"start": 1, "clip": 1}, "start=1 and clip=1 are given"),
        ({"out": "/dev/null/seen"}, "cannot be made"),
        *[({"temperature": value}, "temperature is .*, but must be a number above 0") for value in (0, -1, "1", None)],
        *[
            ({"video": video}, "the video is given as .*, but must be a path")
            for video in (None, 3, ["a.mp4"], np.zeros((8, 4, 4, 3), np.uint8), b"a.mp4")
        ],
        ({"out": 3}, "is given as int, but must be a path"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_computed(asked, message, trained, tmp_path, monkeypatch):
    def compute(*args, **kwargs):
        raise AssertionError("something is computed")

    monkeypatch.setattr(visualize, "record_clip", compute)
    arguments = {"video": "absent.mp4", "out": tmp_path / "seen", **asked}
    with pytest.raises(motion_vit.UserError, match=message):
        motion_vit.visualize(arguments.pop("video"), trained, arguments.pop("out"), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_taken_only_if_it_is_one_video(trained, video, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    with pytest.raises(motion_vit.UserError, match=r"no single video is meant: .*there is no video in it"):
        motion_vit.visualize(folder, trained)
    first = shutil.copy(video, folder)
    assert motion_vit.visualize(folder, trained, what="motion").video == pathlib.Path(first).name
    Image.new("RGB", (32, 32)).save(folder / "cover.jpg")
    with pytest.raises(motion_vit.UserError, match=r"no single video is meant: .*beside videos"):
        motion_vit.visualize(folder, trained)
    (folder / "cover.jpg").unlink()
    shutil.copy(video, folder / "another.mp4")
    with pytest.raises(motion_vit.UserError, match=r"holds 2 videos \(.*another.mp4.*\), but one is looked at"):
        motion_vit.visualize(folder, trained)


def test_a_single_text_is_one_entry(trained, video, tmp_path):
    alone = motion_vit.visualize(
        video,
        trained,
        tmp_path / "alone",
        what="motion",
        layers="blocks/block0",
        point=np.array([9, 20]),
        formats="npz",
    )
    listed = motion_vit.visualize(
        video, trained, tmp_path / "listed", what=["motion"], layers=["blocks/block0"], point=(9, 20), formats=["npz"]
    )
    assert (alone.what, alone.point) == (listed.what, listed.point) == (("motion",), (9, 20))
    assert [one.layer for one in alone.maps] == [one.layer for one in listed.maps] != []
    assert [file.name for file in (tmp_path / "alone").iterdir()] == ["maps.npz"]


def test_what_was_seen_is_saved_later_and_described_in_a_line(trained, video, tmp_path):
    seen = motion_vit.visualize(video, trained, what=["motion"], clip=1, clips=2)
    files = seen.save(tmp_path / "seen", formats=["npz", "html"])
    assert files == [tmp_path / "seen" / "index.html", tmp_path / "seen" / "maps.npz"]
    assert all(file.is_file() for file in files)
    for arguments, message in (((tmp_path / "seen",), "is not empty"), ((tmp_path / "new", "jpeg"), "formats has")):
        with pytest.raises(motion_vit.UserError, match=message):
            seen.save(arguments[0], formats=arguments[1:] or ("html",))
    line = repr(seen)
    assert line.startswith("<Visualization of moving.mp4, clip 1 of 2 by videomae, step 7: 1 map: motion field (1); ")
    assert "\n" not in line
    assert len(line) < 200


def test_only_a_notebook_shows_the_page(trained, video, monkeypatch, capsys):
    seen = motion_vit.visualize(video, trained, what=["motion"])
    monkeypatch.setitem(sys.modules, "IPython", None)
    seen.show()
    assert ".save('FOLDER') writes them" in capsys.readouterr().out
    shown = []
    for shell in (None, types.SimpleNamespace(), types.SimpleNamespace(kernel=object())):
        ipython = types.SimpleNamespace(get_ipython=lambda shell=shell: shell, display=types.SimpleNamespace())
        ipython.display.display = shown.append
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        seen.show()
    assert shown == [seen]
    assert capsys.readouterr().out.count(".save('FOLDER')") == 2


def test_a_line_about_hostile_names_is_one_harmless_line(trained, video, capsys):
    seen = motion_vit.visualize(video, trained, what=["motion"])
    hostile = "\x1b[2J\u202e\n\udcff" + 500 * "a"
    seen = dataclasses.replace(seen, video=hostile, model=hostile, predictions=((hostile, 1.0),))
    seen.show()
    said = capsys.readouterr().out
    assert said.count("\n") == 2
    assert said.replace("\n", "").isprintable()
    assert len(said) < 1200


def test_the_page_in_a_notebook_is_small(trained, video, monkeypatch):
    seen = motion_vit.visualize(video, trained)
    assert "Left out" not in seen._repr_html_()
    monkeypatch.setattr(visualization, "LARGEST_IN_NOTEBOOK", 1000)
    assert "Left out, to keep the page small" in seen._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in seen._repr_html_()
