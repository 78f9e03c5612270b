"""What the tests of weights that come in and go out share: each network is traced once for all of them."""

import functools
import pathlib
from typing import Any

import jax
import pytest
from varied_videos import write_varied_videos

import motion_vit
from motion_vit.models import checked_model
from motion_vit.models.checked_model import TracedModel, trace_model
from motion_vit.models.video_model import VideoModel


@pytest.fixture(autouse=True)
def traces_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hands the same trace to all who ask for that of equal networks, which most of these tests take their time for."""

    def traced(model: VideoModel, **how: Any) -> TracedModel:
        return _trace_once(model, jax.sharding.get_abstract_mesh(), tuple(how.items()))

    monkeypatch.setattr(checked_model, "trace_model", traced)


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[pathlib.Path], list[dict[str, float]]]:
    """Videos, and the probability of each class that the installed model gives them."""
    videos = write_varied_videos(tmp_path_factory.mktemp("videos"))
    predictions = motion_vit.load("demo").predict(videos, top="all")
    assert len({prediction.classes for prediction in predictions}) == len(videos)
    return videos, [dict(prediction.classes) for prediction in predictions]


@functools.cache
def _trace_once(model: VideoModel, mesh: object, how: tuple[tuple[str, Any], ...]) -> TracedModel:
    del mesh  # a part of the key alone: what is traced may be split over it
    return trace_model(model, **dict(how))
