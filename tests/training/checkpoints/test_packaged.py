"""The trained model in the box: found by name from any folder, small, and right about videos that it never saw."""

import json
import pathlib
import shutil

import jax
import pytest

import motion_vit
from motion_vit import UserError, cli
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.training.checkpoints.packaged import packaged_checkpoints
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint

LARGEST = 1_500_000  # bytes


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_model_is_small_and_has_its_card() -> None:
    folder = packaged_checkpoints()["demo"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < LARGEST
    assert {file.name for file in folder.iterdir()} >= {"config.json", "model.safetensors", "README.md"}
    assert 'license: "apache-2.0"' in (folder / "README.md").read_text(encoding="utf-8")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["label_names"]


@pytest.mark.slow
def test_its_accuracy_holds_on_freshly_rendered_videos_and_frozen_ones_are_chance() -> None:
    lists = render_dataset("fresh", splits={"validation": 150}, seed=20261128, progress=False)
    trained = motion_vit.load("demo")
    normal = evaluate_checkpoint(trained, lists["validation"], clips=1)
    assert normal.videos == 150
    assert normal.top1 >= 0.9
    frozen = evaluate_checkpoint(trained, lists["validation"], clips=1, frame_order="frozen")
    assert frozen.top1 < 0.2


def test_it_is_taken_by_name_in_python() -> None:
    trained = motion_vit.load("demo")
    assert len(trained.label_names) == 10
    assert {leaf.dtype.name for leaf in jax.tree.leaves(trained.variables["params"])} == {"float32"}


@pytest.mark.slow
def test_it_is_taken_by_name_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    lists = render_dataset("one", splits={"validation": 1}, progress=False)
    (video,) = (lists["validation"].parent / "videos" / "validation").iterdir()
    assert cli.main(["predict", str(video), "--checkpoint", "demo"]) == 0
    assert capsys.readouterr().out.count("%") == 5


def test_a_folder_of_that_name_is_taken_only_if_it_holds_a_checkpoint() -> None:
    # As `motion-vit evaluate --checkpoint demo` leaves one, and `motion-vit demo --workdir demo`.
    pathlib.Path("demo/evaluation").mkdir(parents=True)
    for name in ("demo", "demo/", "./demo"):
        assert motion_vit.load(name).step == 625
    shutil.copy(packaged_checkpoints()["demo"] / "config.json", "demo/config.json")
    with pytest.raises(UserError, match=r"demo/model\.safetensors"):
        motion_vit.load("demo")


def test_another_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(
        UserError, match=r"or the name of an installed model: demo, or of published weights, .*Did you mean 'demo'\?"
    ):
        motion_vit.load("dmo")
