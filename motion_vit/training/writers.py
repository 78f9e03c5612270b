"""Where the numbers of a run go: JSON lines always, TensorBoard beside them."""

import json
import pathlib
from collections.abc import Mapping
from typing import Protocol

from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class MetricWriter(Protocol):
    """Takes the numbers of a run."""

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds the values of a step.

        Args:
          step: training steps done.
          split: "train" or "validation".
          values: finite numbers by name.
        """

    def close(self) -> None:
        """Ends the writing."""


class JsonLinesWriter:
    """One JSON object a line: `step`, `split` and the values.

    Args:
      path: the file; continued if it exists.
      from_step: step that the run continues from. Later records, of steps that are done again, are dropped.
    """

    def __init__(self, path: pathlib.Path, from_step: int) -> None:
        kept = [record for record in read_json_lines(path) if int(record["step"]) <= from_step]
        path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds a line; it is on disk when this returns."""
        self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoardWriter:
    """TensorBoard event files.

    Args:
      folder: where they go.
      from_step: step that the run continues from; TensorBoard drops what was written for later ones.
    """

    def __init__(self, folder: pathlib.Path, from_step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=from_step + 1)

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class Writers:
    """All writers of a run as one; a context manager.

    Args:
      workdir: folder of the run.
      from_step: step that the run continues from.
    """

    def __init__(self, workdir: pathlib.Path, from_step: int) -> None:
        self._writers: list[MetricWriter] = [
            JsonLinesWriter(workdir / METRICS_FILE, from_step),
            TensorBoardWriter(workdir / TENSORBOARD_FOLDER, from_step),
        ]

    def __enter__(self) -> "Writers":
        """Nothing: the files are open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes every writer."""
        self.close()

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Hands the values to every writer."""
        for writer in self._writers:
            writer.write(step, split, values)

    def close(self) -> None:
        """Closes every writer."""
        for writer in self._writers:
            writer.close()


def read_json_lines(path: pathlib.Path) -> list[dict[str, float | str]]:
    """Reads the records of a run.

    Args:
      path: the file of a `JsonLinesWriter`.

    Returns:
      One mapping a line; none without a file. A last line that a killed run left half written is dropped.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
