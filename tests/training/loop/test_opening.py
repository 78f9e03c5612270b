"""The first lines of a run: what it warns of before anything is trained."""

import csv
import pathlib

import jax
import pytest
from ml_collections import ConfigDict

from motion_vit.training.loop.loop import train


@pytest.fixture
def unequal_config(small_config: ConfigDict, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> ConfigDict:
    """Trains on 22 videos of one class and two of another, and validates on eleven of one of them."""
    for split, rare in (("train", 2), ("validation", 0)):
        with lists[split].open(encoding="utf-8") as file:
            videos = [lists[split].parent / row["path"] for row in csv.DictReader(file)]
        lines = [f"{video},{'rare' if number < rare else 'usual'}\n" for number, video in enumerate(videos)]
        (tmp_path / f"{split}.csv").write_text("path,label\n" + "".join(lines))
        small_config.data[split] = str(tmp_path / f"{split}.csv")
    return small_config


@pytest.mark.usefixtures("light_runs")
def test_a_run_warns_of_unequal_classes_and_of_few_validation_videos(
    unequal_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(unequal_config, tmp_path / "plain", devices=jax.devices()[:1], max_steps=1)
    said = capsys.readouterr().out
    assert "warning: classes are very unequal, from 2 clips of 'rare' to 22 of 'usual'" in said
    assert "warning: in validation, 11 videos say little" in said
    # Where something is done about it, nothing more is said of it.
    unequal_config.data.class_balance = 1.0
    train(unequal_config, tmp_path / "balanced", devices=jax.devices()[:1], max_steps=1)
    assert "unequal" not in capsys.readouterr().out
