"""Pretraining runs: they go on where they stopped, hand their encoder over, and are no classifiers."""

import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from pretraining_recipe import OPTIONS, pretraining_recipe

import motion_vit
from motion_vit import UserError, cli
from motion_vit.models.masked_autoencoder import ENCODER_PARTS
from motion_vit.training.checkpoints.load_trained import load_folder
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.logs.writers import read_json_lines
from motion_vit.training.loop.loop import TrainingResult, train


def recipe(lists: dict[str, pathlib.Path]) -> ConfigDict:
    config = pretraining_recipe()
    config.data.train = str(lists["train"])
    config.epochs = 2.0
    config.log.every_steps = 2
    config.log.writers = ()
    return config


def run(config: ConfigDict, folder: pathlib.Path, max_steps: int | None = None) -> TrainingResult:
    with jax.numpy_dtype_promotion("standard"):
        return train(config, folder, devices=jax.devices()[:1], max_steps=max_steps)


def params_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(load_folder(folder).variables["params"]), sep="/")


@pytest.fixture(scope="module")
def pretrained(lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run of six steps."""
    folder = tmp_path_factory.mktemp("pretrained")
    run(recipe(lists), folder)
    return folder


def test_a_run_logs_its_loss_and_is_read_as_what_it_is(pretrained: pathlib.Path) -> None:
    records = read_json_lines(pretrained / "metrics.jsonl")
    assert [record["step"] for record in records] == [2, 4, 6]
    assert "top1" not in records[0]
    assert records[-1]["loss"] < records[0]["loss"]
    assert (pretrained / "curves.png").exists()
    found = load_folder(pretrained)
    assert isinstance(found, PretrainedRun)
    assert found.step == 6


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert run(recipe(lists), tmp_path, max_steps=2).steps == 2
    assert run(recipe(lists), tmp_path).completed
    expected = params_of(pretrained)
    for name, value in params_of(tmp_path).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.slow
def test_fine_tuning_starts_at_the_encoder(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = "--config.optimizer.learning_rate=1e-30"
    fields = {
        **{f"model.options.{name}": value for name, value in OPTIONS.items()},
        **{
            "model.name": "videomae_tiny",
            "data.train": lists["train"],
            "data.validation": "",
            "initial_weights": pretrained,
        },
        **{"data.frames": 4, "data.size": 32, "epochs": 0.34, "batch_size": 8, "mesh.data": 8, "remat": "none"},
        **{"optimizer.warmup_epochs": 0, "optimizer.warmup_start": 0, "optimizer.final_learning_rate": 0},
        **{"augmentation.mixup": 0, "augmentation.cutmix": 0, "augmentation.repeats": 1, "log.writers": "()"},
        **{"data.mean": "(0.45, 0.45, 0.45)", "data.std": "(0.225, 0.225, 0.225)"},
    }
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    command = ["train", "--config", "my_videos_videomae", "--workdir", str(tmp_path / "tuned"), rate, *overrides]
    with jax.numpy_dtype_promotion("standard"):
        assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert f"starts from {pretrained}, 6 steps trained" in said
    assert "They are the pretrained encoder; what follows it starts anew." in said
    # At next to no learning rate, the one step leaves what it starts from.
    tuned = traverse_util.flatten_dict(motion_vit.load(tmp_path / "tuned").variables["params"], sep="/")
    before = params_of(pretrained)
    taken = {name for name in tuned if name.startswith(ENCODER_PARTS)}
    assert {name.partition("/")[0] for name in tuned.keys() - taken} == {"fc_norm", "head"}
    for name in taken:
        np.testing.assert_allclose(tuned[name], before[name], atol=1e-20, err_msg=name)


def test_a_pretrained_run_is_no_classifier(pretrained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"was pretrained and classifies nothing yet\. Fine-tune it: motion-vit train"):
        motion_vit.load(pretrained)
    assert cli.main(["export", "--checkpoint", str(pretrained), "--format", "safetensors", "--out", "x"]) == 2
    assert "was pretrained and classifies nothing yet" in capsys.readouterr().err


def test_the_command_refuses_recipes_of_classifiers(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pretrain", "--config", "my_videos_videomae", "--workdir", str(tmp_path / "new")]
    assert cli.main(command) == 2
    assert "objective is 'classification', which `motion-vit train` trains" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_visualize_draws_what_a_pretrained_run_predicts(
    lists: dict[str, pathlib.Path], pretrained: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(next((lists["train"].parent / "videos" / "train").iterdir()))
    command = ["visualize", video, "--checkpoint", str(pretrained), "--out", str(tmp_path / "seen")]
    assert cli.main([*command, "--what", "motion"]) == 2
    assert "--what is for classifiers" in capsys.readouterr().err
    assert cli.main(command) == 0
    assert "75 % hidden, loss" in capsys.readouterr().out
    with np.load(tmp_path / "seen" / "reconstruction.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == dict.fromkeys(
            ("frames", "masked", "predicted"), (4, 32, 32, 3)
        )
        same = (arrays["frames"] == arrays["masked"]).all(axis=-1)
        np.testing.assert_array_equal(arrays["frames"][same], arrays["predicted"][same])
        assert 0.25 <= same.mean() < 0.4
    assert (tmp_path / "seen" / "reconstruction.png").stat().st_size > 1000
