"""Runs of masked filling: they go on where they stopped, hand their encoder over, and can be drawn."""

import pathlib

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict
from pretraining_recipe import filling_recipe
from pretraining_steps import program_of

from motion_vit import cli
from motion_vit.models.feature_encoder import FeatureEncoder
from motion_vit.models.registry import register_model
from motion_vit.models.video_model import Backbone
from motion_vit.modules.initializers import fan_in_kernel
from motion_vit.training.checkpoints.load_trained import load_folder
from motion_vit.training.logs.writers import read_json_lines
from motion_vit.training.loop.initial_weights import start_from_weights
from motion_vit.training.loop.loop import TrainingResult, train


class Convolutions(Backbone):
    """A classifier of one's own that masked filling pretrains: patches, and a convolution over their neighbours."""

    num_classes: int = 5
    frames: int = 4
    image_size: int = 16

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        features = last_features(self, clips, train=train)
        return nn.Dense(self.num_classes, name="head")(features.mean(axis=(1, 2, 3)))

    def feature_encoder(self) -> FeatureEncoder:
        return FeatureEncoder(
            last_features, ("patches", "norm", "mix"), (1, 4, 4), fan_in_kernel, self.dtype, frame_axis=None
        )


def last_features(module: nn.Module, clips: jax.Array, *, train: bool) -> jax.Array:
    patches = nn.Conv(8, (1, 4, 4), (1, 4, 4), name="patches", parent=module)(clips)
    patches = nn.BatchNorm(use_running_average=not train, name="norm", parent=module)(patches)
    return nn.Conv(8, (3, 3, 3), name="mix", parent=module)(nn.gelu(patches))


def recipe(lists: dict[str, pathlib.Path]) -> ConfigDict:
    register_model("convolutions", Convolutions, description="for tests")
    config = filling_recipe()
    config.model.name, config.model.options = "convolutions", {}
    config.data.train = str(lists["train"])
    config.epochs = 2.0
    config.log.every_steps = 2
    config.log.writers = ()
    return config


def run(config: ConfigDict, folder: pathlib.Path, max_steps: int | None = None) -> TrainingResult:
    with jax.numpy_dtype_promotion("standard"):
        return train(config, folder, devices=jax.devices()[:1], max_steps=max_steps)


def variables_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(load_folder(folder).variables), sep="/")


@pytest.fixture(scope="module")
def pretrained(lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run of six steps."""
    folder = tmp_path_factory.mktemp("filled")
    run(recipe(lists), folder)
    records = read_json_lines(folder / "metrics.jsonl")
    assert [record["step"] for record in records] == [2, 4, 6]
    assert records[-1]["loss"] < records[0]["loss"]
    return folder


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert run(recipe(lists), tmp_path, max_steps=2).steps == 2
    assert run(recipe(lists), tmp_path).completed
    expected = variables_of(pretrained)
    for name, value in variables_of(tmp_path).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.slow
def test_fine_tuning_starts_at_the_encoder_and_its_statistics(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path
) -> None:
    config = recipe(lists)
    config.objective, config.initial_weights = "classification", str(pretrained)
    with jax.numpy_dtype_promotion("standard"):
        state, said = start_from_weights(program_of(config, 2, 4, 1), list("abcde"))
    tuned = traverse_util.flatten_dict(jax.device_get(state.variables), sep="/")
    before = variables_of(pretrained)
    assert f"{sum(name.startswith('batch_stats/') for name in before)} of running statistics are taken" in said
    assert "They are the pretrained encoder; what follows it starts anew." in said
    assert tuned.keys() - before.keys() == {"params/head/kernel", "params/head/bias"}
    assert {name.split("/")[1] for name in before.keys() - tuned.keys()} == {"mask_token", "pixel_head"}
    for name in tuned.keys() & before.keys():
        np.testing.assert_array_equal(tuned[name], before[name], err_msg=name)


@pytest.mark.slow
def test_visualize_draws_what_was_filled(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(next((lists["train"].parent / "videos" / "train").iterdir()))
    assert cli.main(["visualize", video, "--checkpoint", str(pretrained), "--out", str(tmp_path / "seen")]) == 0
    assert "75 % hidden, loss" in capsys.readouterr().out
    with np.load(tmp_path / "seen" / "reconstruction.npz") as arrays:
        assert arrays["predicted"].shape == (4, 16, 16, 3)
        same = (arrays["frames"] == arrays["masked"]).all(axis=-1)
        np.testing.assert_array_equal(arrays["frames"][same], arrays["predicted"][same])
        assert not np.array_equal(arrays["masked"], arrays["predicted"])
