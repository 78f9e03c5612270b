"""What the tests of weights that come in and go out share."""

import pathlib

import pytest
from varied_videos import write_varied_videos

import motion_vit


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[pathlib.Path], list[dict[str, float]]]:
    """Videos, and the probability of each class that the installed model gives them."""
    videos = write_varied_videos(tmp_path_factory.mktemp("videos"))
    predictions = motion_vit.load("demo").predict(videos, top="all")
    assert len({prediction.classes for prediction in predictions}) == len(videos)
    return videos, [dict(prediction.classes) for prediction in predictions]
