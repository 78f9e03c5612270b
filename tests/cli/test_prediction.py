"""`motion-vit predict`: several names, each form of output, and a broken video that costs none of the others."""

import csv
import io
import json
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

from motion_vit import UserError, cli
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.encoding import write_video
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.prediction import Prediction
from motion_vit.training.recipe.config import default_config

CHECKPOINT = ("--checkpoint", "run")
CLASSES = (("up", 0.75), ("=down", 0.25))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Puts a model in the place of the checkpoint's that finds videos broken by their names; what it is asked for."""
    options: dict[str, Any] = {}

    def predict_each(videos: list[NamedVideo], **given: object) -> Iterator[Prediction]:
        options.update(given)
        for video in videos:
            error = video.error or ("cut off" if "broken" in video.path else "")
            yield Prediction(video.path, () if error else CLASSES, error, start=video.start, end=video.end)

    install(monkeypatch, types.SimpleNamespace(predict_each=predict_each, config=default_config()))
    return options


def install(monkeypatch: pytest.MonkeyPatch, trained: object) -> None:
    monkeypatch.setattr("motion_vit.zoo.load.load", lambda *_, **__: trained)
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.enable_compilation_cache", lambda: None)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture
def videos(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of two videos, with a broken one between them, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.mp4", "c.mp4")):
        write_video(name, np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), np.uint8))
    pathlib.Path("broken.mp4").write_bytes(b"\0nothing")
    return ["a.mp4", "broken.mp4", "c.mp4"]


def test_one_document_holds_what_is_good_and_why_the_rest_is_not(
    trained: TrainedModel, videos: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, trained)
    assert cli.main(["predict", *videos, "--json", "--top", "2", *CHECKPOINT]) == 1
    printed = capsys.readouterr()
    entries = json.loads(printed.out)
    assert [entry["video"] for entry in entries] == videos
    assert [len(entry["predictions"]) for entry in entries] == [2, 0, 2]
    assert entries[1]["error"]
    assert printed.err == f"motion-vit: 1 of 3 videos not classified:\n  broken.mp4: {entries[1]['error']}\n"


def test_python_takes_the_same_names_and_numbers(trained: TrainedModel, videos: list[str]) -> None:
    everything = trained.predict([".", *videos], top="all", clips=2, crops=3, start=0.1, batch_size=8)
    assert [one.path for one in everything] == [*(f"./{name}" for name in videos), *videos]
    for one in everything:
        assert len(one.classes) == (0 if one.error else 10)
        assert one.start == 0.1
    by_label = dict(everything[0].classes)
    assert sum(by_label.values()) == pytest.approx(1)
    middle = dict(trained.predict("a.mp4", top="all")[0].classes)
    assert any(abs(by_label[label] - share) > 1e-4 for label, share in middle.items())
    assert trained.predict(".")[1].error
    pathlib.Path("empty.csv").touch()
    for single in ("broken.mp4", "no*.mp4", "absent", "./empty.csv"):
        with pytest.raises(UserError, match="cannot decode the video"):
            trained.predict(single)
        assert trained.predict([single])[0].error


def test_a_table_has_a_row_for_each_class_and_one_for_what_is_broken(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", "a.mp4", "broken.mp4", "--csv", "--end", "2.5", "--top", "all", *CHECKPOINT]) == 1
    assert asked["top"] == "all"
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["video"], row["label"], row["probability"]) for row in rows] == [
        ("a.mp4", "up", "0.75"),
        ("a.mp4", "'=down", "0.25"),  # which no spreadsheet computes
        ("broken.mp4", "", ""),
    ]
    assert {(row["start"], row["end"]) for row in rows} == {("0.0", "2.5")}
    assert [row["error"] for row in rows] == ["", "", "cut off"]


def test_a_line_is_there_as_soon_as_its_video_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.jsonl"
    seen = []

    def predict_each(videos: list[NamedVideo], **_: object) -> Iterator[Prediction]:
        for video in videos:
            yield Prediction(video.path, CLASSES)
            seen.append([json.loads(line)["video"] for line in out.read_text().splitlines()])
        raise KeyboardInterrupt

    install(monkeypatch, types.SimpleNamespace(predict_each=predict_each))
    assert cli.main(["predict", "a.mp4", "b.mp4", "--out", str(out), *CHECKPOINT]) == 130
    assert seen == [["a.mp4"], ["a.mp4", "b.mp4"]]
    assert len(out.read_text().splitlines()) == 2  # what is done is not lost
    assert "stopped" in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_the_ending_of_the_file_chooses_what_is_written_unless_it_is_said(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    readers: dict[str, Callable[[str], object]] = {
        "x.json": lambda text: [entry["video"] for entry in json.loads(text)],
        "x.jsonl": lambda text: [json.loads(line)["video"] for line in text.splitlines()],
        "x.csv": lambda text: list(dict.fromkeys(row["video"] for row in csv.DictReader(io.StringIO(text)))),
        "x.txt": lambda text: [line for line in text.splitlines() if line.endswith(".mp4")],
    }
    for name, read in readers.items():
        assert cli.main(["predict", "a.mp4", "b.mp4", "--out", name, *CHECKPOINT]) == 0
        assert capsys.readouterr().out == f"{name}\n"
        assert read(pathlib.Path(name).read_text()) == ["a.mp4", "b.mp4"]
    assert cli.main(["predict", "a.mp4", "--json", "--out", "x.txt", *CHECKPOINT]) == 0
    assert readers["x.json"](pathlib.Path("x.txt").read_text()) == ["a.mp4"]
    with pytest.raises(SystemExit):
        cli.main(["predict", "a.mp4", "--json", "--csv", *CHECKPOINT])


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_computed(
    asked: dict[str, Any], name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "absent" / name
    assert cli.main(["predict", "a.mp4", "--out", str(out), *CHECKPOINT]) == 2
    assert f"motion-vit: {out} cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--out"], ["--window", "1", "--render"], ["--jsonl", "--out"]])
def test_what_is_read_is_not_written_over(
    arguments: list[str], asked: dict[str, Any], videos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pathlib.Path("list.csv").write_text("path\na.mp4\n", encoding="utf-8")
    pathlib.Path("link.mp4").symlink_to("a.mp4")
    for name in ("a.mp4", "link.mp4", "list.csv"):
        if "--render" in arguments and not name.endswith(".mp4"):
            continue
        before = pathlib.Path(name).read_bytes()
        assert cli.main(["predict", "list.csv", *arguments, name, *CHECKPOINT]) == 2
        assert f"{name} is read, and so not written over; name another file" in capsys.readouterr().err
        assert pathlib.Path(name).read_bytes() == before


def test_names_are_read_from_standard_input_and_need_not_be_text(
    asked: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("folder/one.mp4", "two.mp4"):
        pathlib.Path(name).parent.mkdir(exist_ok=True)
        pathlib.Path(name).touch()

    def predict(given: bytes) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        return cli.main(["predict", "first.mp4", "-", "--json", *CHECKPOINT])

    assert predict(b"folder\r\n\ntwo.mp4\n\xff.mp4") == 0
    names = [entry["video"] for entry in json.loads(capsys.readouterr().out)]
    assert names == ["first.mp4", "folder/one.mp4", "two.mp4", "\udcff.mp4"]
    assert predict(b"\n") == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["predict", "-", *CHECKPOINT]) == 2
    assert "names of videos on standard input, one a line, and there are none" in capsys.readouterr().err


def test_a_name_that_leads_to_no_video_is_told_at_the_end(
    asked: dict[str, Any], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["predict", str(tmp_path / "empty"), "a.mp4", str(tmp_path / "*.avi"), "--start", "3", *CHECKPOINT]
    assert cli.main([*arguments, "--clips", "2", "--crops", "3", "--batch-size", "7"]) == 1
    printed = capsys.readouterr()
    assert "a.mp4 from 3 s\n   75.0 %  up\n" in printed.out
    assert "2 of 3 videos not classified" in printed.err
    assert "there is no video in it" in printed.err
    assert "matches it as a pattern" in printed.err
    assert asked.items() >= {"clips": 2, "crops": 3, "batch_size": 7}.items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "3", "--end", "2"], "must start at 0 s or later and end after its start; given 3 s to 2 s"),
        (["--top", "0"], "a whole number from 1 to 1000000, or `all`"),
        (["--top", "some"], "a whole number from 1 to 1000000, or `all`"),
        (["--start", "-1"], "a number from 0 to 10000000"),
        (["--crops", "2"], "expected one of 1, 3"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_a_wrong_number_is_a_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(["predict", "a.mp4", *arguments, *CHECKPOINT])
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Flax's own modules rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield
