import contextlib
import io

import pytest

from motion_vit.training.logs import progress as progresses
from motion_vit.training.logs.progress import Progress, duration, step_line

# Wide numbers, as a long run on a large slice has.
SUMMARY = {
    "loss": 10.1234567,
    "top1": 0.999,
    "grad_norm": 123.4567,
    "learning_rate": 1.2345e-6,
    "seconds_per_step": 1.0,
    "waiting_for_data": 0.99,
    "clips_per_second": 12345.67,
    "clips_per_second_per_device": 120.5,
    "model_tflops_per_second": 98765.4,
    "model_tflops_per_second_per_device": 123.456,
    "model_flops_utilization": 0.456,
    "device_peak_memory_gb": 79.51,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_ten_seconds_a_step(monkeypatch: pytest.MonkeyPatch, progress: Progress, steps: int) -> None:
    now = [0.0]
    monkeypatch.setattr(progresses.time, "perf_counter", lambda: now[0])
    progress.start_clock()
    for _ in range(steps):
        now[0] += 10
        progress.advance()


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (99, "99 s"), (700, "12 min"), (12_000, "3 h 20 min"), (7_170, "2 h 0 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_follows_from_the_pace_since_the_clock_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(5, 100) as progress:
        progress.advance()
        assert progress.time_left() is None
        run_ten_seconds_a_step(monkeypatch, progress, 4)
        assert progress.time_left() == "15 min"


def test_there_is_no_time_left_before_there_is_a_pace() -> None:
    with Progress(5, 100) as progress:
        assert progress.time_left() is None


def test_an_interactive_terminal_shows_a_bar_with_steps_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal, Progress(5, 100) as progress:
        run_ten_seconds_a_step(monkeypatch, progress, 5)
    drawn = [line for line in terminal.getvalue().split("\r") if line.strip()]
    assert all(text in drawn[-1] for text in ("10%", "step 10/100", "15 min left")), drawn


def test_a_log_file_gets_lines_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0, 10) as progress:
        progress.advance()
        progress.line("a line")
    assert capsys.readouterr() == ("a line\n", "")


def test_the_other_processes_of_a_run_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal, Progress(0, 10, shown=False) as progress:
        progress.advance()
        progress.line("a line")
    assert capsys.readouterr().out == ""
    assert terminal.getvalue() == ""


def test_the_line_of_a_step_has_every_number_with_its_unit_and_stays_short() -> None:
    line = step_line(123_456, 234_567, SUMMARY, "12 h 45 min")
    assert line == (
        "step 123456/234567  loss 10.1235  top-1 99.9 %  lr 1.23e-06  grad norm 123.46  12345.7 clips/s  "
        "123 TFLOP/s (46 % MFU)  data wait 99 %  79.5 GB  12 h 45 min left"
    )
    assert len(line) <= 165


def test_what_is_not_known_is_left_out_of_the_line() -> None:
    known = {name: value for name, value in SUMMARY.items() if name != "model_flops_utilization"}
    known["process_peak_memory_gb"] = known.pop("device_peak_memory_gb")
    known["model_tflops_per_second_per_device"] = 0.0123
    line = step_line(1, 10, known, None)
    assert "MFU" not in line
    assert line.endswith("12.3 GFLOP/s  data wait 99 %  79.5 GB")
