"""Progress: a bar for people at a terminal, a line now and then for those who read a log."""

import io
import sys

import pytest

from motion_vit.data.workers import progress_bar as module
from motion_vit.data.workers.progress_bar import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(rounds: int, *, shown: bool = True) -> None:
    with progress_bar(rounds, "rendering videos", "clip", shown=shown) as bar:
        for _ in range(rounds):
            bar.set_postfix(bad=0, refresh=False)
            bar.update()


def test_a_log_has_lines_in_a_distance_and_no_carriage_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(module, "_SECONDS_A_LINE", 0.05)
    clock = iter(range(10**6))
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock) / 1000)
    run(1000)
    lines = sys.stderr.getvalue().splitlines()
    assert "\r" not in sys.stderr.getvalue()
    assert 5 < len(lines) < 100
    for line in lines:
        assert line.startswith("rendering videos: ")
        assert line.endswith("left, bad=0")
        assert "/1000 clips, " in line


def test_what_is_done_soon_prints_nothing_into_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(1000)
    assert sys.stderr.getvalue() == ""


def test_a_terminal_has_a_bar_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(10)
    assert "\r" in sys.stderr.getvalue()
    assert "100%" in sys.stderr.getvalue()


def test_nothing_is_printed_where_nothing_is_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        run(10, shown=False)
        assert stream.getvalue() == ""
