"""What the tests of imports share."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from flax import traverse_util

from motion_vit.interop.importing import state_dict
from motion_vit.models.checked_model import TracedModel


@pytest.fixture
def new_weights_are_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts ones where weights start anew, for tests of which do: to compile their values takes longest in an import."""

    def ones(traced: TracedModel, _rng: Any, paths: Iterable[str]) -> dict[str, np.ndarray]:
        shapes = traverse_util.flatten_dict(traced.shapes, sep="/")
        return {path: np.ones(shapes[path].shape, shapes[path].dtype) for path in paths}

    monkeypatch.setattr(state_dict, "_initial_values", ones)
