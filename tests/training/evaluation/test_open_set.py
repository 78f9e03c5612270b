"""What an evaluation says of unknown videos, from logits and from a run."""

import csv
import dataclasses
import json
import math
import pathlib
from typing import get_args

import jax
import numpy as np
import pytest
from planted_evaluation import NamedClips, planted_scores
from training_processes import RECIPE

import motion_vit
from motion_vit import UserError, cli
from motion_vit.cli import prediction as command
from motion_vit.training.checkpoints.model_description import read_description
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.calibrate import calibrate_checkpoint
from motion_vit.training.evaluation.open_set import OpenSet, check_unknown, read_rejection
from motion_vit.training.evaluation.open_set_histograms import draw_open_set
from motion_vit.training.inference.unknown_scores import Rejection, ScoreName, unknown_scores
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.recipe.file import load_config

LABELS = ("up", "down", "left")
NAN = float("nan")


VARIABLES = {"params": {"head": np.ones(2, np.float32)}}


def open_set(known: list[list[float]], unknown: list[list[float]], **options: object) -> OpenSet:
    right = [int(np.nan_to_num(np.argmax(row))) for row in known]
    of_known = planted_scores(right, known, LABELS, **options)
    others = planted_scores([number % 2 for number in range(len(unknown))], unknown, ("jump", "fall"), **options)
    return OpenSet(of_known, others, of_known)


def test_videos_that_a_model_is_sure_of_are_told_from_others_by_every_score() -> None:
    found = open_set([[8, 0, 0], [0, 7, 0], [0, 0, 9]], [[0.1, 0, 0], [0, 0, 0]], evidence="exp")
    assert list(found.measures) == ["uncertainty", "max_softmax", "energy"]
    for each in found.measures.values():
        assert (each.auroc, each.aupr, each.fpr95) == (1, 1, 0)
        assert each.open_macro_f1 == pytest.approx(1)
        assert each.known.max() <= each.threshold < each.unknown.min()
    text = str(found)
    assert text.startswith("unknown: 2 videos of 2 classes\n")
    assert text.count("100.00%") == 9


def test_a_model_without_evidence_has_the_scores_of_its_softmax_alone() -> None:
    report = open_set([[8, 0, 0]], [[0, 0, 0]]).to_dict()
    assert list(report["scores"]) == ["max_softmax", "energy"]
    assert report["unknown_classes"] == 1
    assert json.loads(json.dumps(report)) == report


def test_scores_are_those_of_their_formulas() -> None:
    logits = np.array([[math.log(3), 0.0], [1000.0, 1000.0], [-20.0, 20.0]], np.float32)
    np.testing.assert_allclose(unknown_scores(logits, "max_softmax"), [0.25, 0.5, 0], atol=1e-7)
    np.testing.assert_allclose(unknown_scores(logits, "energy"), [-math.log(4), -1000 - math.log(2), -20], rtol=1e-7)
    certain = 2 / (math.exp(10) + math.exp(-10) + 2)
    found = unknown_scores(logits, "uncertainty", "exp")
    np.testing.assert_allclose(found, [2 / 6, 1 / (math.exp(10) + 1), certain], rtol=1e-5)


def test_videos_without_finite_logits_are_left_out() -> None:
    sure, whatever = [8.0, 0.0, 0.0], [NAN, 0.0, 0.0]
    assert open_set([sure, whatever], [[0.0] * 3, whatever]).measures["energy"].auroc == 1
    with pytest.raises(UserError, match="no unknown video of planted has finite logits"):
        _ = open_set([sure], [whatever]).measures


def test_evidence_gives_the_probabilities_of_an_evaluation() -> None:
    scored = planted_scores([0], [[math.log(3), 0]], ("a", "b"), evidence="exp")
    np.testing.assert_allclose(scored.probabilities, [[4 / 6, 2 / 6]], rtol=1e-6)
    relu = dataclasses.replace(scored, evidence="relu", logits=np.array([[3.0, -5.0]], np.float32))
    np.testing.assert_allclose(relu.confidence, [4 / 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (("jump", "down"), (0, 1), "videos of 1 class that the model knows: 'down'. Unknown videos must be"),
        (("jump", " Down"), (0, 1), "videos of 1 class that the model knows: ' Down'"),
        (("jump",), (), "has no videos"),
    ],
)
def test_unknown_videos_of_known_classes_and_none_are_refused(
    names: tuple[str, ...], labels: tuple[int, ...], message: str
) -> None:
    clips = tuple(f"{number}.mp4" for number in range(len(labels)))
    with pytest.raises(UserError, match=message):
        check_unknown(NamedClips(clips, names, labels), LABELS)


def test_a_known_class_without_videos_and_a_single_unknown_one_are_taken() -> None:
    check_unknown(NamedClips(("0.mp4",), ("jump", "down"), (0,)), LABELS)
    with pytest.raises(UserError, match="the model has a single class, 'up'"):
        check_unknown(NamedClips(("0.mp4",), ("jump",), (0,)), ("up",))
    found = open_set([[8, 0, 0], [0, 8, 0]], [[0.0, 0, 0]])
    assert len(found.measures["energy"].openness) == 2


def test_the_command_names_every_score() -> None:
    assert get_args(ScoreName) == command._SCORES


def test_scores_are_drawn(tmp_path: pathlib.Path) -> None:
    draw_open_set(open_set([[8, 0, 0], [0, 2, 0]], [[0, 0, 0], [1, 0, 0]]), tmp_path / "open_set.png")
    assert (tmp_path / "open_set.png").read_bytes().startswith(b"\x89PNG")


def test_a_threshold_is_a_number_or_that_of_an_evaluation(tmp_path: pathlib.Path) -> None:
    assert read_rejection("0.25", "max_softmax", VARIABLES) == Rejection("max_softmax", 0.25)
    assert read_rejection("-3", "energy", VARIABLES).threshold == -3
    scores = {"energy": {"threshold": -1.5}, "max_softmax": {"threshold": "high"}}
    measured = {"weights": weights_fingerprint(VARIABLES), "scores": scores}
    report = {"frame_order": "normal", "open_set": measured}
    other = {"open_set": measured | {"weights": weights_fingerprint({})}}
    for name, changes in {"it": {}, "other": other, "frozen": {"frame_order": "frozen"}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").write_text(json.dumps(report | changes))
    (tmp_path / "evaluation.json").write_text("{}")
    assert read_rejection(tmp_path / "it", "energy", VARIABLES) == Rejection("energy", -1.5)
    assert read_rejection(str(tmp_path / "it" / "evaluation.json"), "energy", VARIABLES).threshold == -1.5
    wrong: list[tuple[str, ScoreName, str]] = [
        ("nan", "energy", "threshold of energy is nan, but must be a number"),
        ("1.5", "uncertainty", "must be a number from 0 to 1"),
        (str(tmp_path / "absent"), "energy", "is neither a number nor the folder of an evaluation"),
        (str(tmp_path), "energy", "is no report of an evaluation with unknown videos"),
        (str(tmp_path / "it"), "uncertainty", "no threshold of the score uncertainty, but of energy, max_softmax"),
        (str(tmp_path / "it"), "max_softmax", "its threshold of the score max_softmax is 'high'"),
        (str(tmp_path / "other"), "energy", "is an evaluation of other weights"),
        (str(tmp_path / "frozen"), "energy", "is an evaluation of frozen frames, a control"),
    ]
    for given, score, message in wrong:
        with pytest.raises(UserError, match=message):
            read_rejection(given, score, VARIABLES)


@pytest.fixture(scope="module")
def split_lists(lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Lists of 24 videos: those of the first 8 of 10 classes, to train on, and those of the other 2."""
    folder = tmp_path_factory.mktemp("open")
    with lists["train"].open(encoding="utf-8") as file:
        rows = [(str((lists["train"].parent / row["path"]).resolve()), row["label"]) for row in csv.DictReader(file)]
    unknown = set(sorted({label for _, label in rows})[8:])
    written = {}
    for name in ("known", "unknown"):
        chosen = [f"{path},{label}" for path, label in rows if (label in unknown) == (name == "unknown")]
        written[name] = folder / f"{name}.csv"
        written[name].write_text("\n".join(["path,label", *chosen]) + "\n", encoding="utf-8")
    return written


@pytest.fixture(scope="module")
def evidential_run(split_lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run of two steps that was trained with evidence."""
    fields = {"loss.name": "evidential", "loss.label_smoothing": 0.0, "data.train": split_lists["known"]}
    config = load_config(str(RECIPE), [f"--config.{name}={value}" for name, value in fields.items()])
    folder = tmp_path_factory.mktemp("evidential")
    with jax.numpy_dtype_promotion("standard"):
        train(config, folder, devices=jax.devices()[:1], max_steps=2)
    return folder


@pytest.mark.slow
def test_a_run_with_evidence_is_evaluated_on_unknown_videos_and_rejects_them(
    evidential_run: pathlib.Path,
    split_lists: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, known, unknown = tmp_path / "report", str(split_lists["known"]), str(split_lists["unknown"])
    run = ["--checkpoint", str(evidential_run)]
    assert cli.main(["evaluate", *run, "--data", known, "--unknown", unknown, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "evaluation.json").read_text())["open_set"]
    assert list(report["scores"]) == ["uncertainty", "max_softmax", "energy"]
    assert f"unknown: {report['unknown_videos']} videos of 2 classes" in printed
    assert f"open_set: {out / 'open_set.png'}" in printed
    assert (report["unknown_data"], report["threshold_data"]) == (unknown, known)

    with split_lists["known"].open() as file:
        videos = [row["path"] for row in csv.DictReader(file)]
    assert cli.main(["predict", *videos, *run, "--reject", str(out), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    threshold = report["scores"]["uncertainty"]["threshold"]
    assert [entry["unknown"] for entry in entries] == [entry["uncertainty"] > threshold for entry in entries]
    # The threshold is that of these videos.
    assert sum(entry["unknown"] for entry in entries) <= 0.05 * len(entries)
    for entry in entries:
        assert sum(one["probability"] for one in entry["predictions"]) < 1  # five of eight
    assert cli.main(["predict", videos[0], *run, "--reject", "0"]) == 0
    text = capsys.readouterr().out
    assert "  unknown: of none of the classes; the most similar are\n" in text
    assert f"  uncertainty {entries[0]['uncertainty']:.3f}, above 0.000\n" in text
    assert cli.main(["predict", videos[0], *run, "--reject", "1", "--csv"]) == 0
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert (row["unknown"], float(row["uncertainty"])) == ("False", pytest.approx(entries[0]["uncertainty"]))


@pytest.mark.slow
def test_a_model_keeps_its_evidence_wherever_it_goes(evidential_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    trained = motion_vit.load(evidential_run)
    write_weights_folder(tmp_path / "weights", trained)
    assert trained_evidence(motion_vit.load(tmp_path / "weights").config) == "exp"
    # Also where a later version says of training what this one does not take.
    path = tmp_path / "weights" / "config.json"
    values = json.loads(path.read_text())
    values["recipe"]["loss"]["options"] = {"evidence": "softplus", "later": 1}
    path.write_text(json.dumps({**values, "checksum": None}))
    assert trained_evidence(read_description(path).trained.config) == "softplus"
    with pytest.raises(UserError, match="trained with evidence"):
        calibrate_checkpoint(evidential_run, "x.csv", tmp_path / "calibrated")


def test_a_plain_checkpoint_takes_unknown_videos_and_has_no_uncertainty(
    finished_run: pathlib.Path,
    lists: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unknown = tmp_path / "unknown.csv"
    first = lists["validation"].read_text().splitlines()[1].rsplit(",", 1)[0]
    unknown.write_text(f"path,label\n{(lists['validation'].parent / first).resolve()},jumping\n")
    data = ["--data", str(lists["validation"])]
    run = ["--checkpoint", str(finished_run)]
    asked = ["evaluate", *run, *data, "--unknown", str(unknown), "--threshold-data", str(lists["train"]), "--json"]
    assert cli.main([*asked, "--out", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)["open_set"]
    assert list(report["scores"]) == ["max_softmax", "energy"]
    assert report["threshold_data"] == str(lists["train"])
    for wrong, message in (
        (["evaluate", *run, *data, "--unknown", str(lists["train"])], "videos of 10 classes that the model knows"),
        (["evaluate", *run, *data, "--threshold-data", str(lists["train"])], "name them, too, with --unknown"),
        (["predict", first, *run, "--reject", "0.5", "--reject-by", "uncertainty"], "has no score 'uncertainty'"),
        (["predict", first, *run, "--reject-by", "energy"], "give --reject, too"),
        (["predict", first, *run, "--reject", "0.5", "--window", "1s"], "--reject is for whole videos"),
    ):
        assert cli.main(wrong) == 2
        assert message in capsys.readouterr().err
