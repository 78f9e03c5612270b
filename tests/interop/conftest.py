"""What the tests of weights that come in and go out share: each network is traced once for all of them."""

import functools
from typing import Any

import jax
import pytest

from motion_vit.models import checked_model
from motion_vit.models.checked_model import TracedModel, trace_model
from motion_vit.models.video_model import VideoModel


@pytest.fixture(autouse=True)
def traces_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hands the same trace to all who ask for that of equal networks, which most of these tests take their time for."""

    def traced(model: VideoModel, **how: Any) -> TracedModel:
        return _trace_once(model, jax.sharding.get_abstract_mesh(), tuple(how.items()))

    monkeypatch.setattr(checked_model, "trace_model", traced)


@functools.cache
def _trace_once(model: VideoModel, mesh: object, how: tuple[tuple[str, Any], ...]) -> TracedModel:
    del mesh  # a part of the key alone: what is traced may be split over it
    return trace_model(model, **dict(how))
