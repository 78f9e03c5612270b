"""A run whose spatial encoder is frozen, on eight devices: what moves, what stays, and where it goes on."""

import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util
from small_trained_model import small_trained_model

from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.config import default_config

OPTIONS = {
    **{"width": 16, "depth": 1, "temporal_depth": 1, "heads": 2, "patch_size": 8, "tubelet_frames": 1, "window": 3},
    "attention": "factorised_encoder",
}
FROZEN = ("params/embedding/", "params/places/", "params/blocks/", "params/norm/")


def variables_of(variables: object) -> dict[str, np.ndarray]:
    return dict(traverse_util.flatten_dict(jax.device_get(variables), sep="/"))


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["emim", "attention"])
def test_what_is_frozen_stays_and_an_interrupted_run_ends_as_one_that_was_not(
    adapter: str, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    given = small_trained_model(name="vivit_tiny", **OPTIONS)
    write_weights_folder(tmp_path / "given", given)
    config = default_config()
    config.model.name = "vivit_tiny"
    config.model.options.update(OPTIONS | {"adapter": adapter, "frozen": "spatial", "dropout": 0.1})
    config.data.train = str(lists["train"])
    config.data.frames, config.data.size, config.batch_size, config.epochs = 4, 32, 8, 1
    config.initial_weights, config.temporal_weights = str(tmp_path / "given"), "image"
    config.optimizer.warmup_epochs = 0.0
    config.mesh.data, config.mesh.fsdp = 2, 4
    assert train(config, tmp_path / "whole").steps == 3
    train(config, tmp_path / "parts", max_steps=1)
    assert train(config, tmp_path / "parts").completed
    start, end = variables_of(given.variables), variables_of(load_for_inference(tmp_path / "whole").variables)
    for path, value in variables_of(load_for_inference(tmp_path / "parts").variables).items():
        np.testing.assert_array_equal(value, end[path], err_msg=path)
        if path.startswith(FROZEN):
            np.testing.assert_array_equal(value, start[path], err_msg=path)
        elif path in start:
            assert np.abs(value - start[path]).max() > 0, path
