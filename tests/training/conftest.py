"""A dataset of a few tiny videos, and a recipe that trains on it in seconds."""

import csv
import functools
import pathlib
from collections.abc import Callable, Iterator

import jax
import pytest
from ml_collections import ConfigDict
from shared_programs import shared_program
from small_network import register_small_network

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.training.logs import curves
from motion_vit.training.loop import loop
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.config import default_config


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Optax's optimizers rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(autouse=True, scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs that compile the same step share it, also where the environment names no cache."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Lists of 24 training and 11 validation videos of 10 classes."""
    folder = tmp_path_factory.mktemp("videos")
    splits = {"train": 24, "validation": 11}
    return render_dataset(folder, splits=splits, size=32, frames=(6, 8), workers=1, progress=False)


@pytest.fixture
def tiny_config(lists: dict[str, pathlib.Path]) -> ConfigDict:
    """Three steps an epoch, two epochs, validation after each."""
    return make_tiny_config(lists)


def make_tiny_config(lists: dict[str, pathlib.Path]) -> ConfigDict:
    """The recipe of `tiny_config`."""
    config = make_small_config(lists)
    config.name = "tiny"
    config.model.name = "uniformer_emim_tiny"
    config.model.options.update(
        {
            "widths": (8, 8, 16, 16),
            "depths": (1, 1, 1, 1),
            "head_channels": 8,
            "window": 3,
            "stochastic_depth": 0.2,
            "depthwise_implementation": "xla_conv",  # compiles fastest
        }
    )
    return config


@pytest.fixture(scope="session")
def new_small_config(lists: dict[str, pathlib.Path]) -> Callable[[], ConfigDict]:
    """Makes the recipe of `small_config`, for what the tests of a file share."""
    return functools.partial(make_small_config, lists)


@pytest.fixture
def small_config(lists: dict[str, pathlib.Path]) -> ConfigDict:
    """The recipe of `tiny_config` with a network that compiles in a second, where the network is no matter."""
    return make_small_config(lists)


def make_small_config(lists: dict[str, pathlib.Path]) -> ConfigDict:
    """The recipe of `small_config`."""
    register_small_network()
    config = default_config()
    config.name = "small"
    config.model.name = "small"
    config.data.train = str(lists["train"])
    config.data.validation = str(lists["validation"])
    config.data.frames = 4
    config.data.size = 32
    config.data.workers = 0
    config.batch_size = 8
    config.epochs = 2
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 1
    config.evaluation.batch_size = 8
    config.checkpoint.every_steps = 100
    config.log.every_steps = 2
    return config


@pytest.fixture
def light_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the same recipe share what is traced and compiled, and draw no curves, which takes as long as training.

    For tests of what is around the step. The curves are those of `finished_run`.
    """
    monkeypatch.setattr(loop, "build_program", shared_program)
    monkeypatch.setattr(curves, "draw_curves", lambda metrics_file, target: None)


@pytest.fixture(scope="session")
def finished_run(lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run of `small_config`, trained to its end on one device."""
    folder = tmp_path_factory.mktemp("finished")
    with jax.numpy_dtype_promotion("standard"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "build_program", shared_program)
        train(make_small_config(lists), folder, devices=jax.devices()[:1])
    return folder


@pytest.fixture(scope="session")
def list_with_a_broken_video(
    lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, pathlib.Path]:
    """A training list of which one video is no video, and that video."""
    folder = tmp_path_factory.mktemp("broken")
    broken = folder / "broken.mp4"
    broken.write_bytes(b"this is not a video" * 100)
    with lists["train"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    target = folder / "train.csv"
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([(lists["train"].parent / row["path"]).resolve(), row["label"]] for row in rows[:-1])
        writer.writerow([broken, rows[-1]["label"]])
    return target, broken
