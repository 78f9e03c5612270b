"""`motion-vit stream`: a line for each event, and mistakes told before a model is loaded."""

import json
import pathlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from motion_vit import cli
from motion_vit.training.inference.segments import SegmentRules
from motion_vit.training.inference.stream_events import StreamEvent

EVENTS = (
    StreamEvent("window", 0.0, 2.0, "up", 0.75, np.array([0.75, 0.25]), 0.1234, 0),
    StreamEvent("opened", 0.0, 0.5, "up", 0.75, None, 1.6, 0),
    StreamEvent("closed", 0.0, 1.0, "a\x1b[2J\nb", 0.75, None, 1.6, 3),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts events in the place of the checkpoint's; what is asked for."""
    given: list[dict[str, Any]] = []

    def stream(source: object, _: object, **options: object) -> Iterator[StreamEvent]:
        given.append({"source": source, **options})
        yield from EVENTS

    monkeypatch.setattr("motion_vit.training.evaluation.streaming.stream", stream)
    monkeypatch.setattr("motion_vit.zoo.load.load", lambda *_, **__: types.SimpleNamespace())
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.enable_compilation_cache", lambda: None)
    return given


def test_events_are_lines_of_text_or_of_json(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["stream", "rtsp://u:secret@host/live", "--checkpoint", "run", "--window", "2s"]
    assert cli.main([*arguments, "--hop", "0.5s", "--enter", "0.2", "--seconds", "60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "     0.00 -      2.00 s  window   75.0 %  up  (0.12 s behind)"
    assert lines[2] == "     0.00 -      1.00 s  closed   75.0 %  a\\x1b[2J\\nb  (1.60 s behind, 3 left out)"
    assert len(lines) == 3
    expected = {"source": "rtsp://u:secret@host/live", "window": 2.0, "hop": 0.5, "seconds": 60.0, "drop": None}
    assert asked[0].items() >= (expected | {"rules": SegmentRules(0.2, 0.2), "timeout": 10.0, "attempts": 5}).items()
    assert cli.main([*arguments, "--jsonl", "--segments", "--no-drop"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in found] == ["opened", "closed"]
    assert found[1]["label"] == EVENTS[2].label
    assert asked[1]["drop"] is False


def test_a_number_is_a_camera(asked: list[dict[str, Any]]) -> None:
    assert cli.main(["stream", "0", "--checkpoint", "run", "--window", "2"]) == 0
    assert asked[0]["source"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.mp4", "--window", "2", "--hop", "3"], "is longer than the window"),
        (["ftp://host/a.mp4", "--window", "2"], "ftp://host/a.mp4 is an address that is not followed"),
        (["a.mp4", "--window", "2", "--enter", "0.3", "--leave", "0.6"], "leave must be at most enter"),
        (["a.mp4"], "the following arguments are required: --window"),
        (["a.mp4", "--window", "2", "--attempts", "x"], "given 'x', but expected a whole number"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = cli.main(["stream", *arguments, "--checkpoint", "absent"])
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_is_streamed_with_the_installed_model(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.ts").touch()
    assert cli.main(["stream", str(tmp_path / "empty.ts"), "--checkpoint", "demo", "--window", "1"]) == 2
    assert "empty.ts: it is empty" in capsys.readouterr().err
