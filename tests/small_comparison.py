"""Rows that train in a second, for two steps on the embedded dataset."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import jax
import training_processes
from ml_collections import ConfigDict

from motion_vit.comparison.report import RESULTS_FILE
from motion_vit.training.recipe.file import load_config

SPLITS = {"train": 16, "validation": 11}


def row(**options: object) -> ConfigDict:
    """A recipe of the small network."""
    config = load_config(str(training_processes.RECIPE), ["--config.epochs=1.0", "--config.ema=()"])
    config.model.options.update(options)
    return config


def preset_row() -> ConfigDict:
    """A recipe of a preset that processes know without a test's help."""
    config = row()
    config.model.name = "timesformer_tiny"
    config.model.options.update({"width": 8, "depth": 1, "heads": 1, "patch_size": 16})
    return config


@contextlib.contextmanager
def standard_promotion() -> Iterator[None]:
    """What training runs under."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def reported(workdir: pathlib.Path) -> list[dict[str, object]]:
    """The results of `comparison.json`."""
    results: list[dict[str, object]] = json.loads((workdir / RESULTS_FILE).read_text(encoding="utf-8"))
    return results


def reported_runs(workdir: pathlib.Path) -> list[tuple[object, object]]:
    """Row and seed of each of them."""
    return [(result["row"], result["seed"]) for result in reported(workdir)]
