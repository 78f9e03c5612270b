"""`motion_vit.visualize`: from a video and a model, or where it is, to pictures."""

import numpy as np
import pytest

import motion_vit
from motion_vit.data.video.encoding import write_video
from motion_vit.training.recipe.config import default_config


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Noise that moves to the right."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path_factory.mktemp("video") / "moving.mp4"
    write_video(path, np.stack([np.roll(picture, 4 * frame, axis=1) for frame in range(8)]))
    return path


@pytest.fixture
def trained(small_model):
    small = small_model("uniformer")
    config = default_config()
    config.model.name = "uniformer"
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
