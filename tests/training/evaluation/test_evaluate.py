import csv
import json
import math
import pathlib

import jax
import numpy as np
import pytest
from planted_evaluation import planted_evaluation
from training_processes import RECIPE

from motion_vit import UserError
from motion_vit.data.sources.clip_source import clip_name
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.evaluation.evaluate import ViewOptions, evaluate
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.evaluation.report import write_report
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.file import load_config
from motion_vit.training.step.train_step import make_logits_function


def example() -> Evaluation:
    # Three of four "up" and both "down" are right, no video is "left".
    return planted_evaluation([0, 0, 0, 0, 1, 1], [*[[4, 1, 1]] * 3, *[[0, 5, 0]] * 3], skipped=["bad.mp4"])


def test_every_video_is_evaluated_once_whatever_the_batch(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    results = [evaluate_checkpoint(finished_run, lists["validation"], batch_size=size) for size in (8, 11)]
    for result in results:
        assert result.videos == 11
        assert result.skipped == ()
        assert result.top1 == np.trace(result.confusion) / 11
    np.testing.assert_array_equal(results[0].confusion, results[1].confusion)


def test_evaluating_the_checkpoint_gives_what_training_reported(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    last = json.loads((finished_run / "metrics.jsonl").read_text().splitlines()[-1])
    result = evaluate_checkpoint(finished_run, lists["validation"])
    assert (result.top1, result.top5) == (last["top1"], last["top5"])
    said = result.to_dict()
    assert (said["step"], said["which"], said["ema"]) == (last["step"], "last", False)


def test_the_logits_of_views_are_summed(finished_run: pathlib.Path, lists: dict[str, pathlib.Path]) -> None:
    result = evaluate_checkpoint(finished_run, lists["validation"], clips=2, crops=3)
    assert result.videos == 11
    assert result.clips_per_second == pytest.approx(66 / result.seconds)


def test_a_video_that_cannot_be_decoded_is_skipped_and_named(
    finished_run: pathlib.Path, list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path]
) -> None:
    source, broken = list_with_a_broken_video
    result = evaluate_checkpoint(finished_run, source)
    assert result.skipped == (str(broken),)
    assert result.videos == 23


def test_a_list_of_nothing_but_broken_videos_is_an_error(
    finished_run: pathlib.Path,
    list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    source, broken = list_with_a_broken_video
    label = source.read_text().splitlines()[-1].rsplit(",", 1)[1]
    (tmp_path / "bad.csv").write_text(f"path,label\n{broken},{label}\n")
    with pytest.raises(UserError, match=r"none of the 1 video of .* could be decoded"):
        evaluate_checkpoint(finished_run, tmp_path / "bad.csv")


def test_labels_that_the_checkpoint_does_not_know_are_refused(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    source = lists["validation"].with_name("renamed.csv")
    lines = lists["validation"].read_text().splitlines()
    source.write_text("\n".join([lines[0], lines[1].replace(",", ",jumping-", 1)]) + "\n")
    with pytest.raises(UserError, match="unknown label 'jumping-"):
        evaluate_checkpoint(finished_run, source)


def test_a_report_is_json_a_table_and_a_picture(tmp_path: pathlib.Path) -> None:
    files = write_report(example(), tmp_path / "report")
    report = json.loads(files["report"].read_text())
    assert report["per_class"] == {"up": 0.75, "down": 1.0, "left": None}
    assert report["skipped"] == ["bad.mp4"]
    assert report["not_finite"] == []
    with files["table"].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == ["up", "down", "left"]
    assert rows[1] == ["up", "3", "1", "0"]
    assert example().warning() == ""
    assert files["picture"].read_bytes().startswith(b"\x89PNG")


def test_the_accuracy_of_a_class_without_videos_is_not_a_number() -> None:
    assert math.isnan(example().per_class[2])
    assert example().videos == 6


@pytest.mark.fast_cases("nan")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_videos_with_logits_that_are_not_finite_count_as_wrong_and_are_named(
    value: float, finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    mesh = meshes.data_mesh()
    trained = load_for_inference(finished_run, mesh=mesh)
    # A bias of the class that every NaN was taken for, and that an infinite logit speaks for.
    trained.variables["params"]["head"]["bias"] = trained.variables["params"]["head"]["bias"].at[0].set(value)
    source = open_source(lists["validation"], default_split="validation", label_names=trained.label_names)
    result = evaluate(
        make_logits_function(trained.model, normalization(trained.config), mesh),
        trained.variables,
        source,
        clip_options(trained.config),
        ViewOptions(clips=2),
        mesh=mesh,
    )
    assert (result.videos, result.top1, result.top5) == (11, 0, 0)
    assert np.nanmax(result.per_class) == 0
    assert result.to_dict()["not_finite"] == [clip_name(source, row) for row in range(11)]
    assert result.warning().startswith("11 of 11 videos have NaN or infinite logits and count as wrong: ")
    assert result.warning().endswith(f"{clip_name(source, 2)}, ...")


def test_the_confusion_matrix_has_a_column_of_videos_without_finite_logits_where_there_are_some(
    tmp_path: pathlib.Path,
) -> None:
    evaluation = planted_evaluation([0, 2], [[2, 1, 0], [1, np.nan, 0]])
    files = write_report(evaluation, tmp_path)
    with files["table"].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == ["up", "down", "left", "NaN or infinite logits"]
    assert rows[3] == ["left", "0", "0", "0", "1"]
    assert json.loads(files["report"].read_text())["per_class"]["left"] == 0
    assert evaluation.warning() == "1 of 2 videos have NaN or infinite logits and count as wrong: 1.mp4"


def test_evaluation_runs_on_all_devices(finished_run: pathlib.Path, lists: dict[str, pathlib.Path]) -> None:
    assert jax.device_count() == 8
    assert evaluate_checkpoint(finished_run, lists["validation"], batch_size=3).videos == 11


@pytest.mark.slow
def test_averages_are_evaluated_where_the_recipe_or_the_call_asks_for_them(
    lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    fields = {"data.train": lists["train"], "data.validation": lists["validation"], "evaluation.ema": True, "epochs": 8}
    train(load_config(str(RECIPE), [f"--config.{name}={value}" for name, value in fields.items()]), tmp_path)
    last = read_json_lines(tmp_path / METRICS_FILE)[-1]
    averages, parameters = (evaluate_checkpoint(tmp_path, lists["validation"], ema=ema) for ema in (None, False))
    assert (averages.ema, parameters.ema) == (True, False)
    assert (averages.top1, averages.top5) == (last["top1"], last["top5"])
    # Of so few videos, both may classify all alike; of the training videos they do not.
    averages, parameters = (evaluate_checkpoint(tmp_path, lists["train"], ema=ema) for ema in (True, False))
    assert (averages.confusion != parameters.confusion).any()
