"""Where `motion-vit evaluate` writes its report unless --out says it."""

import argparse
import pathlib
import types

import pytest

from motion_vit.cli.training import _report_folder

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
