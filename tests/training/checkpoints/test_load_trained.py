"""Trained models, wherever they lie: runs and weights folders are used by the same commands with the same results."""

import contextlib
import csv
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import chex
import jax
import numpy as np
import pytest

import motion_vit
from motion_vit import UserError, cli
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.parallel import mesh as meshes


@pytest.fixture(scope="module")
def weights(finished_run: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The weights folder of the finished run."""
    folder = tmp_path_factory.mktemp("weights") / "folder"
    with jax.numpy_dtype_promotion("standard"):
        write_weights_folder(folder, load_trained(finished_run))
    return folder


def message_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(arguments) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return printed


def test_a_weights_folder_is_what_the_run_was(finished_run: pathlib.Path, weights: pathlib.Path) -> None:
    run, folder = load_trained(finished_run), motion_vit.load(weights)
    chex.assert_trees_all_equal(folder.variables, run.variables)
    assert folder.model == run.model
    assert (folder.label_names, folder.step, folder.averaged) == (run.label_names, 6, False)


def test_the_accuracy_that_the_run_has_measured_comes_along(
    finished_run: pathlib.Path, weights: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    records = read_json_lines(finished_run / METRICS_FILE)
    last = next(record for record in reversed(records) if record["split"] == "validation")
    views = {"data": lists["validation"].name, "clips": 1, "crops": 1}
    for folder in (finished_run, weights):
        assert load_trained(folder).evaluation == {"top1": last["top1"], "top5": last["top5"], **views}


def test_the_latest_report_about_these_weights_comes_first(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = shutil.copytree(weights, tmp_path / "copied")
    about = {"step": 6, "ema": False, "frame_order": "normal", "data": "/videos/test.csv", "videos": 3}
    others = [{"step": 5}, {"ema": True}, {"frame_order": "shuffled"}]
    for number, report in enumerate([{"top1": 0.1}, {"top1": 0.2}, *({"top1": 0.9, **other} for other in others)]):
        path = folder / "evaluation" / str(number) / "evaluation.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(about | {"top5": 1.0} | report))
        os.utime(path, (number, number))
    (folder / "evaluation" / "half").mkdir()
    (folder / "evaluation" / "half" / "evaluation.json").write_text('{"top1": ')
    assert load_trained(folder).evaluation == {"top1": 0.2, "top5": 1.0, "videos": 3, "data": "test.csv"}


@pytest.mark.slow
def test_commands_take_a_weights_folder_as_a_run(
    finished_run: pathlib.Path,
    weights: pathlib.Path,
    lists: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(weights, tmp_path / "copied")
    reports = []
    for checkpoint, out in ((folder, None), (finished_run, tmp_path / "report")):
        arguments = ["evaluate", "--checkpoint", str(checkpoint), "--data", str(lists["validation"])]
        assert cli.main([*arguments, *(["--out", str(out)] if out else [])]) == 0
        default = checkpoint / "evaluation" / "validation-normal"
        reports.append(json.loads(((out or default) / "evaluation.json").read_text()))
        reports[-1].pop("clips_per_second")
    assert reports[0] == reports[1]
    assert (reports[0]["data"], reports[0]["ema"]) == (str(lists["validation"]), False)
    capsys.readouterr()

    with lists["validation"].open(encoding="utf-8") as file:
        video = str(lists["validation"].parent / next(csv.DictReader(file))["path"])
    printed = []
    for checkpoint in (folder, finished_run):
        assert cli.main(["predict", "--checkpoint", str(checkpoint), "--json", video]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1]


def test_a_model_of_bgr_predicts_what_its_mirror_image_of_rgb_does(
    weights: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    mesh = meshes.data_mesh(jax.devices()[:1])
    trained = load_trained(weights, mesh=mesh)
    turned = load_trained(weights, mesh=mesh)
    turned.config.data.channel_order = "bgr"
    first = turned.variables["params"]["hidden"]
    videos = [str(next((lists["train"].parent / "videos" / "train").iterdir()))]
    (expected,), (without_turning,) = (model.predict(videos, mesh=mesh) for model in (trained, turned))
    # 3 channels of each pixel
    first["kernel"] = np.asarray(first["kernel"]).reshape(-1, 3, 128)[:, ::-1].reshape(-1, 128)
    (found,) = turned.predict(videos, mesh=mesh)
    assert [name for name, _ in found.classes] == [name for name, _ in expected.classes]
    probabilities = [[probability for _, probability in each.classes] for each in (found, expected, without_turning)]
    np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-4)
    assert not np.allclose(probabilities[2], probabilities[1], rtol=1e-3)


def test_what_was_measured_is_told_where_the_report_cannot_be_written(
    weights: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(weights, tmp_path / "copied")
    (folder / "evaluation").touch()
    assert cli.main(["evaluate", "--checkpoint", str(folder), "--data", str(lists["validation"])]) == 2
    printed = capsys.readouterr()
    assert "11 videos  top-1" in printed.out
    assert "the report cannot be written to" in printed.err
    assert "Name another folder with --out" in printed.err


def test_classes_in_another_order_are_matched_by_name_and_other_classes_are_refused(
    weights: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """A list of numbers with a labels.txt is what the authors' annotations look like."""
    names = load_trained(weights).label_names
    with lists["validation"].open(encoding="utf-8") as file:
        rows = [(lists["validation"].parent / row["path"], row["label"]) for row in csv.DictReader(file)]
    shuffled = names[3:] + names[:3]
    numbered = "path,label\n" + "".join(f"{path},{shuffled.index(name)}\n" for path, name in rows)
    (tmp_path / "numbers.csv").write_text(numbered)
    (tmp_path / "labels.txt").write_text("\n".join(shuffled))
    expected = evaluate_checkpoint(weights, lists["validation"])
    found = evaluate_checkpoint(weights, tmp_path / "numbers.csv")
    assert found.label_names == names
    np.testing.assert_array_equal(found.confusion, expected.confusion)

    (tmp_path / "labels.txt").write_text("\n".join(f"other {name}" for name in shuffled))
    with pytest.raises(UserError, match=r"10 classes that are not among the 10 expected ones.*'other"):
        evaluate_checkpoint(weights, tmp_path / "numbers.csv")


def test_a_folder_that_is_neither_is_answered_with_what_it_lacks(
    weights: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(folder: pathlib.Path) -> str:
        return message_of(["predict", "video.mp4", "--checkpoint", str(folder)], capsys)

    assert "the folder does not exist. Give the --workdir" in message(tmp_path / "absent")
    assert "it has neither a folder checkpoints nor files config.json and model.safetensors" in message(tmp_path)
    (tmp_path / "model.pth").touch()
    assert "it is a file; a file of PyTorch weights is taken in with `motion-vit import`" in message(
        tmp_path / "model.pth"
    )
    # A recipe alone is what a run leaves that has not come to its first checkpoint.
    (tmp_path / "config.json").write_text("{}")
    assert "there is no checkpoint in" in message(tmp_path)
    # An export for another framework.
    shutil.copy(weights / "config.json", tmp_path)
    assert "An export in another format is read by that framework" in message(tmp_path)


def test_a_choice_that_a_weights_folder_does_not_have_is_refused(weights: pathlib.Path) -> None:
    mesh = meshes.data_mesh(jax.devices()[:1])
    assert load_trained(weights, ema=False, mesh=mesh).step == 6
    with pytest.raises(UserError, match="there is no 'best' one to choose"):
        load_trained(weights, which="best")
    with pytest.raises(UserError, match="holds the parameters themselves, not their averages"):
        load_trained(weights, ema=True)


@contextlib.contextmanager
def as_a_stranger() -> Iterator[None]:
    """Runs the code inside without the rights of root, whom no permissions stop."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "closed",
    ["", "checkpoints", "checkpoints/6", "checkpoints/6/variables", "checkpoints/6/checksums.json", "metrics.jsonl"],
)
def test_what_must_not_be_read_is_named(finished_run: pathlib.Path, closed: str) -> None:
    load_trained(finished_run)  # imports everything, which a stranger may not be able to
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pathlib.Path(folder).chmod(0o755)
        run = shutil.copytree(finished_run, pathlib.Path(folder) / "run")
        (run / closed).chmod(0)
        with pytest.raises(UserError, match="Permission denied") as raised, as_a_stranger():
            load_trained(run)
        (run / closed).chmod(0o755)
    assert str(run) in str(raised.value)
