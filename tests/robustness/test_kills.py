"""Training and preparation that are killed at random moments; `make kills` is the long version."""

import pathlib

import jax
import pytest
from chaos import chaos
from preparation_kills import kill_preparations

from motion_vit.data.embedded.dataset import render_dataset


@pytest.mark.slow
def test_a_run_that_is_killed_twice_ends_as_one_that_is_left_alone(tmp_path: pathlib.Path) -> None:
    lists = render_dataset(
        tmp_path / "videos",
        splits={"train": 24, "validation": 11},
        size=32,
        frames=(6, 8),
        workers=1,
        progress=False,
    )
    fields: dict[str, object] = {"data.train": lists["train"], "data.validation": lists["validation"]}
    with jax.numpy_dtype_promotion("standard"):  # as where people train
        summary = chaos(tmp_path, fields, kills=2, seed=7)
    assert "SIGKILL after a step" in summary
    assert "SIGTERM after a step" in summary


@pytest.mark.slow
def test_a_preparation_that_is_killed_twice_ends_with_the_bytes_of_one_that_is_left_alone(
    tmp_path: pathlib.Path,
) -> None:
    assert "2 times SIGKILL, 2 before the end" in kill_preparations(tmp_path, kills=2, seed=0)
