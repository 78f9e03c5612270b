"""`motion-vit predict --window`: segments as text, tables, JSON and subtitles."""

import csv
import io
import json
import pathlib
import types
from typing import Any

import pytest

from motion_vit import cli
from motion_vit.cli.subtitles import subtitles
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.files.atomic_file import UnwritableError
from motion_vit.training.inference.segments import Segment, SegmentRules
from motion_vit.training.inference.timeline import VideoTimeline

CHECKPOINT = ("--checkpoint", "run")
SEGMENTS = (Segment(0.0, 2.5, "up", 0.75), Segment(3.0, 3661.0005, "a<b> & {c} -->\n=d", 0.504))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts a model in the place of the checkpoint's; what it is asked for."""
    given: list[dict[str, Any]] = []

    def timeline_of(video: NamedVideo, **options: object) -> VideoTimeline:
        given.append({"start": video.start, **options})
        error = "cut off" if "broken" in video.path else ""
        return VideoTimeline(video.path, SEGMENTS, error, start=video.start, end=4000.0, windows=9)

    trained = types.SimpleNamespace(timeline_of=timeline_of)
    monkeypatch.setattr("motion_vit.zoo.load.load", lambda *_, **__: trained)
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.enable_compilation_cache", lambda: None)
    return given


def test_segments_are_a_table_or_json_also_of_several_videos(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "a.mp4", "broken.mp4", "--window", "2s", "--start", "1.5s", *CHECKPOINT]
    assert cli.main([*arguments, "--csv"]) == 1
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert [(row["video"], row["start"], row["end"], row["probability"]) for row in rows[:2]] == [
        ("a.mp4", "0.0", "2.5", "0.75"),
        ("a.mp4", "3.0", "3661.0005", "0.504"),
    ]
    assert [row["error"] for row in rows] == ["", "", "", "", "cut off"]  # its segments are not lost
    assert printed.err == "motion-vit: 1 of 2 videos not classified:\n  broken.mp4: cut off\n"
    assert cli.main([*arguments, "--json"]) == 1
    entries = json.loads(capsys.readouterr().out)
    assert [len(entry["segments"]) for entry in entries] == [2, 2]
    assert entries[0]["segments"][0] == {"start": 0.0, "end": 2.5, "label": "up", "probability": 0.75}
    assert asked[0].items() >= {"window": 2.0, "hop": 0.5, "start": 1.5, "rules": SegmentRules()}.items()


def test_the_numbers_of_the_rules_are_taken(asked: list[dict[str, Any]]) -> None:
    arguments = ["predict", "a.mp4", "--window", "4", "--hop", "1s", *CHECKPOINT]
    assert cli.main([*arguments, "--enter", "0.2", "--min-length", "3s"]) == 0
    assert cli.main([*arguments, "--enter", "0.8", "--leave", "0.6"]) == 0
    assert [one["hop"] for one in asked] == [1.0, 1.0]
    assert [one["rules"] for one in asked] == [SegmentRules(0.2, 0.2, 3.0), SegmentRules(0.8, 0.6)]


@pytest.mark.parametrize("wrong", [["--hop", "3"], ["--enter", "0.3", "--leave", "0.6"]])
@pytest.mark.usefixtures("asked")
def test_a_wrong_number_costs_nothing_of_an_earlier_file(wrong: list[str], tmp_path: pathlib.Path) -> None:
    out = tmp_path / "found.jsonl"
    out.write_text("{}\n")
    assert cli.main(["predict", "a.mp4", "--window", "2", *wrong, "--out", str(out), *CHECKPOINT]) == 2
    assert out.read_text() == "{}\n"


@pytest.mark.usefixtures("asked")
def test_subtitles_are_those_of_one_video(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ending, mark in ((".srt", ","), (".vtt", ".")):
        out = tmp_path / f"a{ending}"
        assert cli.main(["predict", "a.mp4", "--window", "2", "--out", str(out), *CHECKPOINT]) == 0
        cues = out.read_text(encoding="utf-8").removeprefix("WEBVTT\n\n").split("\n\n")
        assert cues[0] == f"1\n00:00:00{mark}000 --> 00:00:02{mark}500\nup 75 %"
        assert cues[1].startswith(f"2\n00:00:03{mark}000 --> 01:01:01{mark}000\na")
        assert out.read_text(encoding="utf-8").startswith("WEBVTT") == (ending == ".vtt")
    capsys.readouterr()
    assert cli.main(["predict", "a.mp4", "b.mp4", "--window", "2", "--srt", *CHECKPOINT]) == 2
    assert "subtitles are of one video, and 2 are given" in capsys.readouterr().err


def test_the_video_is_rendered_behind_the_answers_and_says_nothing_into_a_document(
    asked: list[dict[str, Any]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "found.json"

    def write(timeline: VideoTimeline, path: pathlib.Path, *, progress: bool) -> None:
        if "absent" in str(path):
            raise UnwritableError(str(path), "No such folder", "Make it.")

    monkeypatch.setattr("motion_vit.visualization.timeline_video.write_timeline_video", write)
    arguments = ["predict", "a.mp4", "--window", "2", *CHECKPOINT]
    assert cli.main([*arguments, "--json", "--render", "seen.mp4"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["video"] == "a.mp4"
    assert cli.main([*arguments, "--out", str(out), "--render", "absent/seen.mp4"]) == 2
    assert len(json.loads(out.read_text())[0]["segments"]) == 2
    assert "absent/seen.mp4 cannot be written" in capsys.readouterr().err
    assert cli.main(["predict", "a.mp4", "b.mp4", "--window", "2", "--render", "seen.mp4", *CHECKPOINT]) == 2
    assert "--render takes one video, and 2 are given" in capsys.readouterr().err


def test_a_page_is_of_one_video_whose_windows_are_kept(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    monkeypatch.setattr(
        "motion_vit.visualization.timeline_page.write_timeline_page",
        lambda trained, timeline, path, *, progress: written.append((timeline.path, str(path))),
    )
    arguments = ["predict", "a.mp4", "--window", "2", *CHECKPOINT]
    assert cli.main([*arguments, "--html", "seen.html"]) == 0
    assert capsys.readouterr().out.endswith("seen.html\n")
    assert cli.main([*arguments, "--json", "--html", "seen.html"]) == 0
    json.loads(capsys.readouterr().out)
    assert written == [("a.mp4", "seen.html")] * 2
    assert cli.main(arguments) == 0
    assert [one["keep"] for one in asked] == [True, True, False]
    capsys.readouterr()
    assert cli.main(["predict", "a.mp4", "b.mp4", "--window", "2", "--html", "seen.html", *CHECKPOINT]) == 2
    assert "--html takes one video, and 2 are given" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_a_label_cannot_pretend_to_be_a_cue_or_a_tag(form: Any) -> None:
    text = subtitles(SEGMENTS, form)
    assert text.count("-->") == 2
    assert not set("<{&}") & set(text)
    assert len(text.split("\n\n")) == (3 if form == "vtt" else 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hop", "1"], "--hop is for timelines; give --window, too"),
        (["--min-length", "1"], "--min-length is for timelines"),
        (["--render", "x.mp4"], "--render is for timelines"),
        (["--html", "x.html"], "--html is for timelines"),
        (["--window", "2", "--html", "x.pdf"], "--html x.pdf: a page ends in .html or .htm"),
        (["--window", "2", "--render", "x.avi"], "--render x.avi: a video ends in .mp4 or .webm"),
        (["--srt"], "--srt is for timelines"),
        (["--out", "x.vtt"], "--vtt is for timelines"),
        (["--window", "2", "--top", "3"], "--top is for whole videos"),
        (["--window", "two"], "given 'two', but expected seconds, such as 2 or 0.5s"),
        (["--window", "2", "--enter", "0.3", "--leave", "0.6"], "leave must be at most enter"),
        (["--window", "2", "--hop", "3"], "is longer than the window"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_options_that_do_not_go_together_are_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = cli.main(["predict", "a.mp4", *arguments, *CHECKPOINT])
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert said in capsys.readouterr().err
