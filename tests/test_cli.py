import errno
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from planted_evaluation import planted_scores

import motion_vit
from motion_vit import cli
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.datasets.registry import DATASETS
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.training.checkpoints.run_checkpoints import Which
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation
from motion_vit.training.inference.prediction import Prediction

RECIPE = str(pathlib.Path(__file__).resolve().parents[1] / "configs" / "my_videos.py")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps compiled programs out of the home folder, and gives Optax JAX's standard promotion of dtypes."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    with jax.numpy_dtype_promotion("standard"):
        yield


def message_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that a user got wrong prints to standard error."""
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.slow
def test_help_and_training_start_without_what_they_do_not_need() -> None:
    code = """
import sys
from motion_vit import cli
cli._parser().format_help()
print(*sys.modules)
import motion_vit.training.loop.loop
print(*sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    of_help, of_training = (set(line.split()) for line in said.splitlines())
    assert not {"jax", "flax", "numpy", "orbax", "matplotlib", "grain", "av", "tensorboard"} & of_help
    assert not {"torch", "tensorflow", "tensorflow_datasets", "matplotlib"} & of_training


@pytest.mark.parametrize(
    "command",
    [
        *(["train"], ["evaluate"], ["predict"], ["prepare"], ["render"], ["import"], ["inspect"], ["demo"], ["data"]),
        *(["data", "check"], ["data", "show"], ["serve"], ["frames", "score"]),
    ],
)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    assert "usage: motion-vit" in capsys.readouterr().out


def test_a_typo_in_a_field_of_the_recipe_is_answered_with_the_nearest_field(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--config", RECIPE, "--workdir", str(tmp_path / "run")]
    assert "Did you mean 'epochs'?" in message_of([*train, "--config.epoch=3"], capsys)
    assert "must be of type int" in message_of([*train, "--config.batch_size", "many"], capsys)
    assert "needs a value" in message_of([*train, "--config.batch_size"], capsys)
    assert "Did you mean 'window'?" in message_of([*train, "--config.model.options.windw=3"], capsys)
    assert "data/my_videos" in message_of([*train, "--config.model.name=resnet18_tiny"], capsys)
    assert not (tmp_path / "run").exists()


def test_an_argument_that_no_command_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["demo", "--workdir", "x", "--config.seed=3"], "unrecognized argument: --config.seed=3."),
        (["render", "--out", "x", "--sise=3"], "unrecognized argument: --sise=3. Did you mean '--size'?"),
        (
            ["data", "show", "x", "--out", "y", "--sample=2"],
            "unrecognized argument: --sample=2. Did you mean '--samples'?",
        ),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert f"usage: motion-vit {arguments[0]}" in error


def test_a_folder_without_a_checkpoint_is_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = message_of(["predict", "video.mp4", "--checkpoint", str(tmp_path)], capsys)
    assert "there is no checkpoint in" in message
    assert str(tmp_path) in message


def test_a_model_is_inspected_with_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "uniformer_emim_tiny", "frames=8", "placement=gg"]) == 0
    assert "uniformer_emim_tiny: one clip of 8 frames" in capsys.readouterr().out
    assert "written OPTION=VALUE" in message_of(["inspect", "uniformer_emim_tiny", "frames"], capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("image_size=16", "cannot take clips of 16 frames of 16 x 16 pixels: expected clips of at least 32 x 32"),
        ("frames=1", "cannot take clips of 1 frame of 64 x 64 pixels: expected at least 2 frames"),
        ("layer_scale=big", "layer_scale is 'big', but must be None, or a number"),
        ("attention_implementation=foo", "attention_implementation is 'foo', but must be None"),
    ],
)
def test_every_command_tells_what_a_model_refuses(
    option: str, message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "uniformer_emim_tiny"
    assert message in message_of(["inspect", model, option], capsys)
    assert message in message_of(["visualize", "--model", model, option, "--list"], capsys)
    visualize = ["visualize", RECIPE, "--model", model, option, "--out", str(tmp_path / "maps")]
    assert message in message_of(visualize, capsys)
    fields = {"frames": "data.frames", "image_size": "data.size"}
    name, value = option.split("=")
    changes = {"model.name": model, "data.frames": "16", "data.size": "64", "data.train": "x"}
    changes[fields.get(name, f"model.options.{name}")] = value
    overrides = [f"--config.{field}={value}" for field, value in changes.items()]
    train = ["train", "--config", RECIPE, "--workdir", str(tmp_path / "run"), *overrides]
    assert message in message_of(train, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_videos_go_from_rendering_to_prediction(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    rendered, prepared, run = tmp_path / "videos", str(tmp_path / "prepared"), tmp_path / "run"
    counts = ["--train", "10", "--validation", "10", "--size", "32"]
    assert cli.main(["render", "--out", str(rendered), *counts]) == 0
    assert cli.main(["prepare", "list", "--source", str(rendered), "--out", prepared, "--workers", "1"]) == 0
    changes = {
        "model.name": "uniformer_emim_tiny",
        "model.options.widths": "(8, 8, 16, 16)",
        "model.options.depths": "(1, 1, 1, 1)",
        "model.options.head_channels": "8",
        "model.options.depthwise_implementation": "xla_conv",
        "data.train": prepared,
        "data.validation": "",
        "data.frames": "4",
        "data.size": "32",
        "batch_size": "8",
        "epochs": "2",
        "evaluation.batch_size": "8",
    }
    overrides = [f"--config.{name}={value}" for name, value in changes.items()]
    assert cli.main(["train", "--config", RECIPE, "--workdir", str(run), *overrides]) == 0
    assert "finished: 2 steps" in capsys.readouterr().out

    # Where a trained model is used, operators choose what is fast there.
    assert motion_vit.load(run).model.depthwise_implementation is None

    data = f"{prepared}:validation"
    assert cli.main(["evaluate", "--checkpoint", str(run), "--data", data, "--frame-order", "frozen", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.items() >= {"videos": 10, "step": 2, "which": "last", "ema": False}.items()
    assert (run / "evaluation" / "prepared-validation-frozen" / "confusion.png").exists()

    video = str(next((rendered / "videos" / "train").iterdir()))
    assert cli.main(["predict", video, "--checkpoint", str(run), "--json", "--top", "3"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)
    assert prediction["video"] == video
    assert len(prediction["predictions"]) == 3
    assert cli.main(["predict", video, "--checkpoint", str(run)]) == 0
    assert capsys.readouterr().out.startswith(video)


@pytest.mark.fast_cases("arguments1-*")
@pytest.mark.parametrize(
    ("arguments", "asked", "folder"),
    [
        ([], None, "x-normal-ema"),
        (["--ema"], True, "x-normal-ema"),
        (["--no-ema"], False, "x-normal"),
        (["--which", "best", "--no-ema"], False, "x-normal-best"),
        (["--which", "best"], None, "x-normal-best-ema"),
    ],
)
def test_reports_of_parameters_and_averages_of_the_last_and_the_best_checkpoint_lie_apart(
    arguments: list[str],
    asked: bool | None,
    folder: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def evaluate_by_a_recipe_with_averages(
        *_: str, which: Which, ema: bool | None, **__: object
    ) -> CheckpointEvaluation:
        assert ema is asked
        return CheckpointEvaluation(
            label_names=("up", "down"),
            scored=planted_scores([0, 1], [[1, 0], [1, np.nan]], ("up", "down"), ["good.mp4", "nan.mp4"]),
            skipped=(),
            seconds=1.0,
            step=7,
            which=which,
            ema=ema is not False,
            data="x.csv",
            clips=1,
            crops=1,
            frame_order="normal",
            options=ClipOptions(frames=4, size=32),
        )

    monkeypatch.setattr(
        "motion_vit.training.evaluation.evaluate_checkpoint.evaluate_checkpoint", evaluate_by_a_recipe_with_averages
    )
    assert cli.main(["evaluate", "--checkpoint", str(tmp_path), "--data", "x.csv", *arguments]) == 1
    assert "1 of 2 videos have NaN or infinite logits and count as wrong: nan.mp4" in capsys.readouterr().err
    (report,) = tmp_path.glob("evaluation/*/evaluation.json")
    assert report.parent.name == folder
    assert json.loads(report.read_text())["step"] == 7


@pytest.mark.parametrize("json_output", [False, True])
def test_a_video_whose_logits_are_not_finite_is_a_failure(
    json_output: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = types.SimpleNamespace(predict_each=lambda *_, **__: [Prediction("x.mp4", ())])
    monkeypatch.setattr("motion_vit.zoo.load.load", lambda *_, **__: trained)
    assert cli.main(["predict", "x.mp4", "--checkpoint", "run", *["--json"][: int(json_output)]]) == 1
    printed = capsys.readouterr()
    assert "1 of 1 video not classified:\n  x.mp4: the logits are NaN or infinite" in printed.err
    if json_output:
        (entry,) = json.loads(printed.out)
        assert entry["predictions"] == []
        assert entry["error"].startswith("the logits are NaN or infinite")
    else:
        assert printed.out.startswith("x.mp4\n  not classified: the logits are NaN or infinite")


def test_a_broken_video_among_those_to_predict_is_named_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict_each(videos: list[NamedVideo], **_: object) -> Iterator[Prediction]:
        for path in [video.path for video in videos]:
            yield Prediction(path, (), "cut off") if "bad" in path else Prediction(path, (("up", 1.0),))

    trained = types.SimpleNamespace(predict_each=predict_each)
    monkeypatch.setattr("motion_vit.zoo.load.load", lambda *_, **__: trained)
    arguments = ["predict", "a.mp4", "bad.mp4", "b.mp4", "--checkpoint", "run"]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == "a.mp4\n  100.0 %  up\nbad.mp4\n  not classified: cut off\nb.mp4\n  100.0 %  up\n"
    assert printed.err == "motion-vit: 1 of 3 videos not classified:\n  bad.mp4: cut off\n"
    assert cli.main([*arguments, "--json"]) == 1
    printed = capsys.readouterr()
    assert [entry.get("error") for entry in json.loads(printed.out)] == [None, "cut off", None]
    assert "bad.mp4: cut off" in printed.err


@pytest.mark.slow
def test_data_is_checked_and_shown_before_and_after_augmentation(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered, prepared = tmp_path / "videos", str(tmp_path / "prepared")
    counts = ["--train", "10", "--validation", "10", "--size", "32"]
    assert cli.main(["render", "--out", str(rendered), *counts]) == 0
    assert cli.main(["prepare", "list", "--source", str(rendered), "--out", prepared, "--workers", "1"]) == 0
    capsys.readouterr()

    for data, sources in ((prepared, 2), (f"{prepared}:validation", 1), (str(rendered / "train.csv"), 1)):
        assert cli.main(["data", "check", data, "--workers", "1"]) == 0
        assert capsys.readouterr().out.count("10 clips of 10 classes, 0 bad") == sources
    broken = next((rendered / "videos" / "train").iterdir())
    broken.write_bytes(b"nothing")
    assert cli.main(["data", "check", str(rendered / "train.csv"), "--workers", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["bad"][0]["id"] == f"videos/train/{broken.name}"

    plain, augmented = tmp_path / "plain.png", tmp_path / "augmented.gif"
    assert cli.main(["data", "show", prepared, "--out", str(plain), "--samples", "2"]) == 0
    overrides = [
        f"--config.{name}"
        for name in ("augmentation.mixup=0.8", "augmentation.erasing=1.0", "augmentation.rand_augment=rand-m7-n2-inc1")
    ]
    show = ["data", "show", prepared, "--out", str(augmented), "--samples", "2", "--config", RECIPE, *overrides]
    assert cli.main(show) == 0
    with Image.open(plain) as still, Image.open(augmented) as moving:
        assert (still.format, moving.format) == ("PNG", "GIF")
        assert moving.n_frames == 16
    capsys.readouterr()
    assert "give the recipe with --config" in message_of(
        ["data", "show", prepared, "--out", "x.png", "--config.data.size=64"], capsys
    )


def test_the_help_of_prepare_names_every_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["prepare", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(DATASETS) <= set(words)


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"motion_vit {importlib.metadata.version('motion_vit')}\n"


def test_impossible_arguments_are_answered_without_a_traceback(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["data", "show", "x", "--out", "x.png", "--seed", "-1"])
    assert "given '-1', but expected a whole number from 0" in capsys.readouterr().err
    show = ["data", "show", "x", "--out", "x.png", "--config", RECIPE]
    assert "data.mean" in message_of([*show, "--config.data.mean=(1,)"], capsys)
    assert "neither a prepared folder nor a list file" in message_of(show, capsys)
    (tmp_path / "file").touch()
    evaluate = ["evaluate", "--checkpoint", str(tmp_path), "--data", "x", "--out", str(tmp_path / "file")]
    assert "is a file; give a folder" in message_of(evaluate, capsys)
    evaluate[-1] = str(tmp_path / "file" / "report")
    assert f"{tmp_path / 'file'} is a file; give a folder" in message_of(evaluate, capsys)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_a_sentence_wherever_it_shows(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "/disk/file")

    monkeypatch.setattr("motion_vit.training.recipe.packaged.packaged_recipes", refuse)
    assert message_of(["recipe", "list"], capsys).startswith(f"motion-vit: /disk/file: {os.strerror(number)}. Check")


@pytest.mark.parametrize("place", ["file/deeper", "unreadable/deeper"])
@pytest.mark.parametrize(
    "command",
    [
        ["render", "--train", "2", "--validation", "2", "--out"],
        ["evaluate", "--checkpoint", "demo", "--data", "absent.csv", "--out"],
        ["visualize", "absent.mp4", "--checkpoint", "demo", "--out"],
        ["export", "demo", "--format", "safetensors", "--out"],
        ["recipe", "copy", "my_videos"],
        ["predict", "absent.mp4", "--checkpoint"],
        ["evaluate", "--data", "absent.csv", "--checkpoint"],
        ["visualize", "absent.mp4", "--list", "--checkpoint"],
    ],
)
def test_a_file_or_an_unreadable_folder_in_place_of_a_folder_is_a_sentence(
    command: list[str],
    place: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "unreadable").mkdir()
    for name in ("stat", "lstat", "open", "mkdir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name), str(tmp_path / "unreadable") + os.sep))
    path = tmp_path / (f"{place}.py" if command[0] == "recipe" else place)
    said = message_of([*command, str(path)], capsys)
    assert str(tmp_path) in said or "the VIDEO 'absent.mp4' does not exist" in said


def refusing(function: Callable[..., Any], start: str) -> Callable[..., Any]:
    """A function of the system for which paths of this start lie in a folder without permissions: root has them all."""

    def checked(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path).startswith(start):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return function(path, *arguments, **options)

    return checked
