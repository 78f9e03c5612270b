"""Where `motion-vit evaluate` writes its report unless --out says it."""

import argparse
import json
import pathlib
import types

import pytest
from planted_evaluation import planted_scores

from motion_vit import UserError
from motion_vit.cli.evaluation import _report, _report_folder
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation

RESULT = types.SimpleNamespace(which="last", ema=False)


def folder(checkpoint, data="data/own.csv"):
    options = argparse.Namespace(checkpoint=checkpoint, data=data, frame_order="normal")
    return _report_folder(options, RESULT)


@pytest.mark.parametrize("holds", [None, "notes.txt"], ids=["no such folder", "another folder of that name"])
def test_the_report_on_an_installed_model_lies_apart(holds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if holds:
        pathlib.Path("demo").mkdir()
        pathlib.Path("demo", holds).touch()
    assert folder("demo") == pathlib.Path("evaluation/demo/own-normal")


def test_the_report_on_a_run_lies_in_its_workdir(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert folder(str(tmp_path)) == tmp_path / "evaluation" / "own-normal"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("tfds:ucf101:test", "tfds-ucf101-test"),
        ("tfds:ucf101/ucf101_1:2.0.0:test[:80%]", "tfds-ucf101-ucf101_1-2.0.0-test-80%"),
        ("tfds:/sets/acts/1.0.0:test?label=verb/name", "tfds-sets-acts-1.0.0-test-label-verb-name"),
    ],
)
def test_the_report_on_a_set_of_tfds_is_named_by_all_of_its_location(data, name, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert folder(str(tmp_path), data) == tmp_path / "evaluation" / f"{name}-normal"


def test_a_report_is_written_before_another_evaluation_is_found_not_to_fit(tmp_path):
    evaluated = CheckpointEvaluation(
        ("up", "down"),
        planted_scores([0, 1], [[1, 0], [0, 1]], ("up", "down")),
        (),
        1.0,
        **{"step": 1, "which": "last", "ema": False, "data": "x.csv", "clips": 1, "crops": 1, "frame_order": "normal"},
        options=ClipOptions(frames=4, size=32),
    )
    with pytest.raises(UserError, match="no video in common"):
        _report(evaluated, {"other.mp4": ("up", "up")}, tmp_path, as_json=False)
    assert json.loads((tmp_path / "evaluation.json").read_text())["top1"] == 1
