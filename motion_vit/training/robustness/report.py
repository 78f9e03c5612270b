"""The report of robustness: a table for the terminal, JSON, CSV and a picture."""

import json
import pathlib
from collections.abc import Iterator

from motion_vit.files.atomic_file import make_folder, write_text
from motion_vit.files.csv_file import write_csv
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.robustness.robustness import CorruptedResult, Robustness

_HEADER = ("corruption", "severity", "videos", "top1", "top1_low", "top1_high", "mean_class", "loss")


def robustness_table(robustness: Robustness) -> str:
    """Writes top-1 by corruption and severity, in percent; with adaptation, behind an arrow, that with it.

    Args:
      robustness: the results.

    Returns:
      Lines of text.
    """
    severities = robustness.severities
    cells = {(result.corruption, result.severity): _cell(result) for result in robustness.corrupted}
    rows = [["as they are", _cell(robustness.clean)]]
    rows.append(["corruption", *(f"severity {severity}" for severity in severities)])
    rows += [[name, *(cells[name, severity] for severity in severities)] for name in robustness.corruptions]
    means = []
    for severity in severities:
        plain = robustness.mean_top1(severity)
        means.append(_percent(plain, robustness.mean_top1(severity, adapted=True) if robustness.adaptation else None))
    rows.append(["mean", *means])
    width = max(len(cell) for row in rows for cell in row[1:])
    return "\n".join(f"{row[0]:<18}" + "".join(f"{cell:>{width + 2}}" for cell in row[1:]) for row in rows)


def write_robustness(robustness: Robustness, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Writes the results to files.

    Args:
      robustness: the results.
      folder: created if missing.

    Returns:
      The files by what they are: `robustness` (JSON), `robustness table` (CSV) and `robustness picture` (PNG).

    Raises:
      UnwritableError: one of them cannot be written.
    """
    # Matplotlib takes half a second to import.
    from motion_vit.training.robustness.plot import draw_robustness

    make_folder(folder)
    files = {
        "robustness": folder / "robustness.json",
        "robustness table": folder / "robustness.csv",
        "robustness picture": folder / "robustness.png",
    }
    write_text(files["robustness"], json.dumps(robustness.to_dict(), indent=2) + "\n")
    write_csv(files["robustness table"], _rows(robustness))
    draw_robustness(robustness, files["robustness picture"])
    return files


def _rows(robustness: Robustness) -> Iterator[list[str | int | float]]:
    adapts = robustness.adaptation is not None
    yield [*_HEADER, *(f"adapted_{name}" for name in _HEADER[3:] if adapts)]
    for result in (robustness.clean, *robustness.corrupted):
        adapted = [] if result.adapted is None else _numbers(result.adapted)
        name = result.corruption or "none"
        yield [name, result.severity, result.plain.videos, *_numbers(result.plain), *adapted]


def _numbers(evaluation: Evaluation) -> list[float]:
    measures = (evaluation.top1, *evaluation.top1_interval.tolist(), evaluation.mean_class, evaluation.loss)
    return [float(f"{value:.6g}") for value in measures]


def _cell(result: CorruptedResult) -> str:
    return _percent(result.plain.top1, None if result.adapted is None else result.adapted.top1)


def _percent(plain: float, adapted: float | None) -> str:
    return f"{100 * plain:.1f} %" + ("" if adapted is None else f" -> {100 * adapted:.1f} %")
