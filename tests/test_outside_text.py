"""Labels and file names from outside, of the worst kind, in everything that the library prints, writes and draws."""

import csv
import dataclasses
import html.parser
import io
import json
import os
import pathlib
import random
import re
import sys
import unicodedata
from typing import get_args

import numpy as np
import planted_maps as planted
import pytest
from package_graph import LIBRARY
from planted_evaluation import planted_scores
from small_trained_model import small_trained_model

from motion_vit.cli import evaluation as evaluation_commands
from motion_vit.cli import main
from motion_vit.cli.json_output import print_json
from motion_vit.cli.subtitles import SubtitleFormat, subtitles
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.learning_curves import draw_learning_curves
from motion_vit.comparison.plot import draw_comparison
from motion_vit.comparison.run_result import RunResult
from motion_vit.comparison.table import comparison_table
from motion_vit.counts import counted
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.contact_sheet import CaptionedClip, draw_sheet
from motion_vit.data.sources.source_check import BadClip, SourceCheck
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.csv_file import write_csv
from motion_vit.files.figure_file import write_figure
from motion_vit.interop.exporting.model_card import model_card
from motion_vit.outside_text import (
    for_csv,
    for_html,
    for_markdown,
    for_plot,
    for_terminal,
    from_csv,
    shortened,
    visible,
)
from motion_vit.terminal import safe_output
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation
from motion_vit.training.inference.prediction import Prediction
from motion_vit.training.inference.segments import Segment
from motion_vit.training.inference.timeline import VideoTimeline
from motion_vit.visualization.animation import overlay_pictures
from motion_vit.visualization.html_page import html_page
from motion_vit.visualization.map_sheets import map_sheets

PIECES = (
    *(
        "$",
        "$x^",
        "$\\frac{",
        "\\$",
        "{",
        "%s",
        "^_^",
        "&lt;",
        "<script>",
        "</script>",
        '"',
        "'",
        "|",
        "`",
        "[a](b)",
        "#",
    ),
    *("\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x07", "\b", "\r", "\n", "\t", "\x00", "\x7f", "\x85", "\x0b"),
    *("\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\u2028", "\u2029", "\U000e0041", "\u00ad"),
    *("\udcff", "\udc80", "\ud83d", os.fsdecode(b"\xff.mp4")),
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "'=1", " =1"),
    *("left", "äöü", "动作", "🙂", "a" * 300, " ", ",", ";", "1.5", "-1.5"),
)
SEEDS = range(4)

# Matplotlib's own font has no Chinese.
pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")


def hostile(seed: int, count: int = 6) -> list[str]:
    """Different names of such pieces."""
    draw = random.Random(seed)
    starts = draw.sample(PIECES, count)
    return [f"{start}{''.join(draw.choices(PIECES, k=3))}{number}" for number, start in enumerate(starts)]


def assert_harmless(text: str) -> None:
    """Nothing in a text moves a cursor, turns a line, hides or cannot be encoded."""
    text.encode()
    categories = ("Cc", "Cf", "Cs", "Zl", "Zp")
    wrong = {letter for letter in text if letter not in "\n\t" and unicodedata.category(letter) in categories}
    assert not wrong, sorted(map(ascii, wrong))


def evaluation(names: list[str]) -> CheckpointEvaluation:
    labels, logits = range(len(names)), np.full((len(names), len(names)), np.nan)
    return CheckpointEvaluation(
        label_names=tuple(names),
        scored=planted_scores(labels, logits.tolist(), names, names),
        skipped=tuple(names),
        seconds=1.0,
        step=1,
        which="last",
        ema=False,
        data=names[0],
        clips=1,
        crops=1,
        frame_order="normal",
        options=ClipOptions(frames=4, size=32),
    )


def results(names: list[str]) -> list[RunResult]:
    conditions = Conditions("a", "b", 1, 1, averaged=False)
    return [RunResult(name, 0, 1, 1, 1, 1.0, 2, 3, 0.5, 0.5, 0.5, conditions) for name in names]


def cells(path: pathlib.Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


@pytest.mark.fast_cases("2")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_report_is_harmless_on_the_terminal_in_a_spreadsheet_and_as_a_picture(
    seed: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = hostile(seed)
    with safe_output():
        evaluation_commands._report(evaluation(names), None, tmp_path, as_json=False)
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert_harmless(printed)
    # No name makes a line of its own: classes and skipped videos, four lines of measures, two notes, five files.
    assert printed.count("\n") == len(names) * 2 + 4 + 2 + 5
    for cell in (cell for row in cells(tmp_path / "predictions.csv") for cell in row):
        assert_harmless(cell)
    table = cells(tmp_path / "confusion.csv")
    assert len(table) == len(names) + 1
    for cell in [*table[0], *(row[0] for row in table)]:
        assert not re.match(r"[\s']*[=+\-@\t\r]", cell) or cell.startswith("'")
        assert_harmless(cell)
    assert [[int(cell) for cell in row[1:]] for row in table[1:]] == evaluation(names).confusion.tolist()
    assert json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))["skipped"] == names


@pytest.mark.fast_cases("2")
@pytest.mark.parametrize("seed", SEEDS)
def test_json_is_exact_whatever_the_names_are(
    seed: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = hostile(seed)
    with safe_output():
        evaluation_commands._report(evaluation(names), None, tmp_path, as_json=True)
        print_json({"every": list(PIECES)})
    printed = capsys.readouterr().out
    assert_harmless(printed)
    report, rest = json.JSONDecoder().raw_decode(printed)
    assert report["skipped"] == names
    assert json.loads(printed[rest:]) == {"every": list(PIECES)}


@pytest.mark.fast_cases("2")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_comparison_is_harmless(seed: int, tmp_path: pathlib.Path) -> None:
    found = results(hostile(seed))
    table = comparison_table(found)
    assert_harmless(table)
    rows = table.splitlines()[2 : 2 + len(found)]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 9 for row in rows), rows
    draw_comparison(found, tmp_path / "comparison.png")
    draw_learning_curves([(result, [(1.0, 0.5)]) for result in found], tmp_path / "curves.png")


@pytest.mark.parametrize("seed", SEEDS)
def test_predictions_checks_and_errors_are_harmless(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = hostile(seed)
    check = SourceCheck(
        name=names[0],
        clips_of_class=dict(zip(names, [0, 1, 2, 3, 4, 5], strict=True)),
        frames=(1, 1.0, 1),
        sizes={"1 x 1": 1},
        rates={"25": 1},
        codecs={"h264": 1},
        bad=(BadClip(names[1], names[2]),),
        doubtful={names[4]: (names[5],)},
        far_rates={names[3]: 50.0},
    )
    with safe_output():
        for name in names:
            prediction = Prediction(name, ((name, 0.5),))
            assert str(prediction).count("\n") == 1
            print(prediction)
            print(Prediction(name, (), name))
            print(VideoTimeline(name, (Segment(0.0, 1.0, name, 0.5),), name, name))
            print(name, file=sys.stderr)
        print(check.summary())
    for form in get_args(SubtitleFormat):
        text = subtitles([Segment(0.0, 1.0, name, 0.5) for name in names], form)
        assert_harmless(text)
        assert text.count("-->") == text.count("\n\n") + (form == "srt") == len(names)
    assert_harmless(check.summary())
    assert check.summary().count("\n") == len(names) + 8
    captured = capsys.readouterr()
    assert_harmless(captured.out + captured.err)
    for error in (UserError(f"{names[0]}\nand {names[1]}"), VideoDecodeError(names[2], names[3])):
        assert_harmless(str(error))


@pytest.mark.parametrize("argument", ["\x1b[2J\u202e", "\udcff", "--\x9b31m", "--config.\x1b=1"])
@pytest.mark.parametrize("command", [[], ["predict"], ["predict", "a.mp4", "--checkpoint"], ["inspect", "--batch"]])
def test_what_the_command_line_says_of_an_argument_is_harmless(
    argument: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main([*command, argument])
    except SystemExit as left:
        status = left.code
    assert status == 2
    captured = capsys.readouterr()
    assert_harmless(captured.out + captured.err)
    assert captured.err


@pytest.mark.fast_cases("2")
@pytest.mark.parametrize("seed", SEEDS)
def test_pictures_of_clips_and_maps_show_any_name(seed: int, tmp_path: pathlib.Path) -> None:
    names = hostile(seed)
    clip = np.zeros((2, 32, 32, 3), np.uint8)
    for name in names:
        draw_sheet([[CaptionedClip(name, clip)]], tmp_path / "sheet.png")
    scalar = dataclasses.replace(planted.scalar(), channels=tuple(names[:2]))
    attention = dataclasses.replace(planted.frame_attention(), layer=names[2])
    for layer_map in (scalar, attention, planted.curve(names[3])):
        for _, figure in map_sheets(layer_map, planted.clip(), (), names[4], None):
            write_figure(figure, tmp_path / "map.png")
    assert next(overlay_pictures(planted.clip(), scalar, heading=names[5])).size


class _Texts(html.parser.HTMLParser):
    """Collects the texts of some elements."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open = dict(attributes).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data


@pytest.mark.parametrize("seed", SEEDS)
def test_a_page_shows_any_name_as_it_is(seed: int) -> None:
    names = hostile(seed)
    scalar = dataclasses.replace(planted.scalar(), channels=tuple(names[:2]))
    page = html_page(planted.clip(), [scalar], title=names[2], subtitle=names[3], predictions=names[4], notes=names)
    page.encode()
    parsed = _Texts()
    parsed.feed(page)
    assert parsed.texts["title"] == visible(names[2])
    content = json.loads(parsed.texts["content"])
    assert content["title"] == visible(names[2])
    assert content["notes"] == list(map(visible, names))
    assert content["layers"][0]["channels"] == list(map(visible, names[:2]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_card_holds_any_name(seed: int) -> None:
    names = hostile(seed)
    trained = small_trained_model()
    trained = dataclasses.replace(trained, label_names=(*names, *trained.label_names)[: len(trained.label_names)])
    trained = dataclasses.replace(trained, evaluation={"top1": 0.5, "data": names[0], "videos": 1})
    card = model_card(trained)
    assert_harmless(card)
    assert "<script>" not in re.sub(r"\\.", "", card.partition("\n---\n")[2])
    assert "on 1 video of" in card


@pytest.mark.parametrize("seed", SEEDS)
def test_safe_text_is_the_same_made_safe_again_and_keeps_what_can_be_seen(seed: int) -> None:
    for name in hostile(seed, count=20):
        assert visible(visible(name)) == visible(name)
        assert html.unescape(for_html(name)) == visible(name)
        assert re.sub(r"\\([\\`*\[\]<>|~&$#])", r"\1", for_markdown(name)) == visible(name)
        assert for_csv(name) in (visible(name), f"'{visible(name)}")
        assert from_csv(for_csv(name)) == visible(name)
        assert len(for_terminal(name)) <= 200
        assert max(map(len, for_plot(name).split("\n"))) <= 60
    for text in ("turn_left", "äöü 动作 🙂", "a\\b", "$5 & <more>"):
        assert visible(text) == for_terminal(text) == for_plot(text) == text


def test_numbers_are_no_formulas(tmp_path: pathlib.Path) -> None:
    rows = [["-1.5", "+2", "-1e-5", "-.5"], [-1.5, 2, -1e-5, 0], ["-a", "=1", "@b", "+c"], ["'a", "'=1", "'-2", "a=b"]]
    write_csv(tmp_path / "a.csv", rows)
    assert cells(tmp_path / "a.csv") == [
        ["-1.5", "+2", "-1e-5", "-.5"],
        ["-1.5", "2", "-1e-05", "0"],
        ["'-a", "'=1", "'@b", "'+c"],
        ["'a", "''=1", "''-2", "a=b"],
    ]


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert shortened("start" + "x" * 500 + "end", 20) == "startxxxxxxx...xxend"
    said = str(UserError("x" * 10_000 + ". Do this."))
    assert len(said) == 2000
    assert said.endswith(". Do this.")


def test_a_terminal_that_cannot_encode_a_name_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", output)
    with safe_output():
        print("ä ± 动 \udcff")
    output.seek(0)
    assert output.read() == "\\xe4 \\xb1 \\u52a8 \\udcff\n"


def test_progress_in_a_log_is_lines_and_counts_in_the_plural(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("motion_vit.data.workers.progress_bar._SECONDS_A_LINE", 0.0)
    with safe_output(), progress_bar(2, "evaluating", "batch") as bar:
        bar.update()
        bar.update()
    said = capsys.readouterr().err
    assert_harmless(said)
    assert "evaluating: 2/2 batches, " in said
    assert said.endswith("\n")


def test_one_of_a_kind_is_not_many() -> None:
    assert [counted(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
    nouns = ("class", "batch", "entry", "day", "video file")
    plurals = ["2 classes", "2 batches", "2 entries", "2 days", "2 video files"]
    assert [counted(2, noun) for noun in nouns] == plurals
    assert counted(1200, "frame", ",") == "1,200 frames"


# What shows or writes text from outside, and the only files of the library that may do it.
SINKS = {
    r"\bcsv\.writer\(|\bDictWriter\(": {"files/csv_file.py"},
    r"\bhtml\.escape\(": {"outside_text.py"},
    r"\.savefig\(": {"files/figure_file.py"},
    r"\btqdm\(": {"data/workers/progress_bar.py", "training/logs/progress.py"},
    r"\btqdm\.write\(|\bstd(out|err)\.write\(": set(),
    r"\bprint\(json(\.dumps|_text)\(": {"cli/json_output.py", "interop/runners/check.py"},
    # These print what a command says, inside of `safe_output`. The runners' JSON is read by `export --verify`, the
    # example of exports writes names as Python does, in ASCII, and `Visualization.show` makes those of its line safe.
    r"(?<![\w.])print\(": {
        *(f"cli/{name}.py" for name in ("__init__", "data", "evaluation", "export", "importing", "inspection")),
        *(f"cli/{name}.py" for name in ("json_output", "models", "recipes", "serving", "streaming", "training")),
        *(f"cli/{name}.py" for name in ("answers", "features", "frames", "prediction", "probing", "shifted_videos")),
        *("cli/visualization.py", "visualization/visualization.py"),
        *(f"comparison/{name}.py" for name in ("parallel_runs", "report", "run_all", "transfer_report")),
        "demo.py",
        *("interop/runners/check.py", "interop/runners/example.py", "training/logs/progress.py"),
        *("training/parallel/last_words.py", "training/parallel/processes.py"),
    },
}


@pytest.mark.parametrize("sink", SINKS)
def test_text_is_shown_in_few_places(sink: str) -> None:
    files = {
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        if re.search(sink, path.read_text(encoding="utf-8"))
    }
    assert files == SINKS[sink]
