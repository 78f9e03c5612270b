"""Runs with unlabelled videos: what they log, how they go on, and what they refuse."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.loop.loop import TrainingResult, train
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import set_field


@pytest.fixture
def config(small_config: ConfigDict, lists: dict[str, pathlib.Path]) -> ConfigDict:
    """A recipe with three steps an epoch; half of its learning is without labels."""
    small_config.ema = ((r".*", 0.5),)
    small_config.batch_size = 4
    small_config.epochs = 1
    small_config.unlabelled.data = str(lists["validation"])
    small_config.unlabelled.per_labelled = 2
    small_config.unlabelled.threshold = 0.1
    small_config.unlabelled.mix_patch = 8
    return small_config


def run(config: ConfigDict, folder: pathlib.Path, max_steps: int | None = None) -> TrainingResult:
    return train(config, folder, devices=jax.devices()[:2], max_steps=max_steps)


def variables_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(jax.device_get(load_for_inference(folder).variables), sep="/")


@pytest.mark.slow
def test_a_run_learns_from_both_and_goes_on_exactly(
    config: ConfigDict,
    list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, broken = list_with_a_broken_video
    config.unlabelled.data, config.data.max_undecodable = str(source), 0.1
    config.unlabelled.labels_known = True
    result = run(config, tmp_path / "whole")
    assert result.completed
    assert result.undecodable == (str(broken),)
    assert "learns from 24 unlabelled videos, 8 in a step, by fixmatch" in capsys.readouterr().out
    records = [record for record in read_json_lines(tmp_path / "whole" / METRICS_FILE) if record["split"] == "train"]
    for name in ("unlabelled_loss", "mixing_loss", "pseudo_label_weight", "pseudo_label_top1"):
        assert all(np.isfinite(record[name]) for record in records)
    assert all(record["pseudo_label_weight"] > 0 for record in records)
    for _ in range(2):
        run(config, tmp_path / "halves", max_steps=3)
    expected = variables_of(tmp_path / "whole")
    for name, value in variables_of(tmp_path / "halves").items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_labels_that_are_to_be_known_are_of_the_classes(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "other.csv").write_text("path,label\na.mp4,juggling\n")
    config.unlabelled.data = str(tmp_path / "other.csv")
    with pytest.raises(UserError, match=r"a step takes .* = 8 unlabelled videos, but .* has only 1"):
        run(config, tmp_path / "run")
    config.unlabelled.labels_known = True
    with pytest.raises(UserError, match="unknown label 'juggling'"):
        run(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ema": ()}, r"unlabelled\.data needs averages .* ema is empty"),
        ({"objective": "masked_autoencoding"}, r"unlabelled\.data is for the objective 'classification'"),
        ({"loss.name": "evidential"}, r"unlabelled\.data takes logits for those of a softmax"),
        ({"accumulation": 2}, "config field accumulation does not go with unlabelled"),
        ({"distillation.teachers": ("a",)}, r"config field distillation\.teachers does not go with unlabelled"),
        ({"loss.correspondence.walk": 1.0}, r"config field loss\.correspondence does not go with unlabelled"),
        ({"unlabelled.weight": 0.0, "unlabelled.mix_weight": 0.0}, "nothing is learned from unlabelled"),
        ({"unlabelled.method": "adaptive"}, r"warmup_epochs is 5, but must be below epochs, 1"),
        ({"unlabelled.rand_augment": "rand-x"}, "rand-x"),
    ],
)
def test_fields_that_do_not_go_together_are_told(config: ConfigDict, fields: dict[str, Any], message: str) -> None:
    for name, value in fields.items():
        set_field(config, name, value)
    with pytest.raises(UserError, match=message):
        validate_fields(config)
