"""A plugin of pytest: the library traces equal networks once for all tests, which takes much of the time of many."""

from typing import Any

import jax
import pytest

from motion_vit.interop.importing import state_dict
from motion_vit.models import checked_model, inspection
from motion_vit.models.checked_model import TracedModel, trace_model
from motion_vit.models.video_model import VideoModel

_ASKING = (checked_model, inspection, state_dict)
_MOST_KEPT = 100
_kept: dict[Any, TracedModel] = {}


@pytest.fixture(autouse=True)
def _traces_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hands the same trace to all of the library that ask for that of equal networks."""
    for module in _ASKING:
        monkeypatch.setattr(module, "trace_model", _trace_once)


@pytest.fixture
def own_traces(_traces_are_shared: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the library trace as it does elsewhere, for a test that counts."""
    for module in _ASKING:
        monkeypatch.setattr(module, "trace_model", trace_model)


def _trace_once(model: VideoModel, *, clip_shape: Any = None, subject: str = "the model") -> TracedModel:
    """As `trace_model`; the subject is of its errors, which are not kept."""
    # What is traced may be split over a mesh, and depends on JAX's settings.
    context = (jax.sharding.get_abstract_mesh(), jax.config.jax_numpy_dtype_promotion, jax.config.jax_enable_x64)
    key = (model, clip_shape, context)
    if key not in _kept:
        if len(_kept) == _MOST_KEPT:
            _kept.clear()
        _kept[key] = trace_model(model, clip_shape=clip_shape, subject=subject)
    return _kept[key]
