"""Writes the metrics of a run: JSON lines always, and what the recipe names beside them."""

import contextlib
import functools
import importlib.util
import json
import math
import pathlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, reason_of, write_text
from motion_vit.files.regular_file import read_regular_text
from motion_vit.training.logs.background_writer import BackgroundWriter
from motion_vit.training.logs.metric_writer import MetricWriter
from motion_vit.training.logs.optional_writer import OptionalWriter
from motion_vit.training.logs.tracked_run import TrackedRun

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"

# Name in `log.writers` -> the package that it needs. TensorBoard's comes with the library.
_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}


class JsonLinesWriter:
    """One JSON object a line: `step`, `split` and the values.

    Args:
      path: the file; continued if it exists.
      from_step: step that the run continues from. Records of later steps, which are done again, are dropped.
    """

    def __init__(self, path: pathlib.Path, from_step: int) -> None:
        kept = [record for record in read_json_lines(path) if int(record["step"]) <= from_step]
        write_text(path, "".join(_json_line(record) for record in kept))
        self._path = path

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds a line and closes the file, so that the line survives the process and shows in a mounted bucket."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_json_line({"step": step, "split": split, **values}))

    def close(self) -> None:
        """Does nothing: every line is already written."""


class TensorBoardWriter:
    """TensorBoard event files.

    The writers of tensorboard and tensorboardX use a thread. When a full disk ends that thread, training fills its
    queue and waits forever. Therefore this class writes events to disk at once. tensorboardX also imports PyTorch
    wherever that is installed, which takes as long as all other imports of training.

    Args:
      folder: destination; created if missing.
      from_step: step that the run continues from; TensorBoard drops events of later steps.
    """

    def __init__(self, folder: pathlib.Path, from_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names; nanoseconds keep those of a second apart.
        now = time.time_ns()
        path = folder / f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        self._records = RecordWriter(path.open("wb"))
        self._add(file_version="brain.Event:2")
        self._add(step=from_step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        points = [Summary.Value(tag=f"{split}/{name}", simple_value=value) for name, value in values.items()]
        self._add(step=step, summary=Summary(value=points))

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    def _add(self, **fields: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
        self._records.flush()


def check_writers(names: Iterable[str]) -> None:
    """Checks, before training, that what the recipe names can be written to, as far as that is known without a network.

    Args:
      names: those of `log.writers`.

    Raises:
      UserError: a package is missing, or the service does not know whose the run is.
    """
    for name in names:
        package = _PACKAGES.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            raise UserError(
                f"log.writers names {name}, which needs the package {package}, and that is not installed: run "
                f"`pip install 'motion_vit[{name}]'`, or leave {name} out of log.writers."
            )
        if name == "wandb":
            from motion_vit.training.logs.wandb_writer import check_wandb

            check_wandb()
        elif name == "mlflow":
            from motion_vit.training.logs.mlflow_writer import check_mlflow

            check_mlflow()


class Writers:
    """All writers of a run as one; a context manager.

    Args:
      run: its folder, name and recipe.
      from_step: step that the run continues from.
      names: those of `log.writers`: "tensorboard", "wandb" and "mlflow".
      others: further writers. A failure of these, of wandb or of mlflow costs nothing but one line of warning.
      report: takes such a line.
      active: whether to open and write anything; with many processes, only one of them does.

    Raises:
      UserError: the files cannot be written.
    """

    def __init__(
        self,
        run: TrackedRun,
        from_step: int,
        *,
        names: Sequence[str] = ("tensorboard",),
        others: Sequence[MetricWriter] = (),
        report: Callable[[str], None] = print,
        active: bool = True,
    ) -> None:
        self._run = run
        self._workdir = run.workdir
        self._report = report
        self._writers: list[MetricWriter] = []
        if active:
            with self._named_errors():
                self._open(from_step, names, others)

    def __enter__(self) -> "Writers":
        """Returns the writers; the files are already open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes every writer."""
        self.close()

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Passes the values to every writer.

        Args:
          step: training steps done.
          split: "train" or "validation".
          values: numbers by name. Those that are not finite are dropped: JSON cannot represent them.

        Raises:
          UserError: the files cannot be written, for example because the disk is full.
        """
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        with self._named_errors():
            for writer in self._writers:
                writer.write(step, split, finite)

    def close(self) -> None:
        """Closes every writer.

        Raises:
          UserError: pending values could not be written.
        """
        with self._named_errors(), contextlib.ExitStack() as every:
            while self._writers:
                every.callback(self._writers.pop().close)

    def _open(self, from_step: int, names: Sequence[str], others: Sequence[MetricWriter]) -> None:
        path = self._workdir / METRICS_FILE
        # A service keeps what a run did behind its last checkpoint, and does again.
        written = {str(record["split"]): int(record["step"]) for record in read_json_lines(path)}
        try:
            self._writers.append(JsonLinesWriter(path, from_step))
            if "tensorboard" in names:
                self._writers.append(TensorBoardWriter(self._workdir / TENSORBOARD_FOLDER, from_step))
            for name in (name for name in _PACKAGES if name in names):
                service = BackgroundWriter(functools.partial(_open_service, name, self._run))
                self._writers.append(OptionalWriter(name, service, self._report, written))
            for other in others:
                self._writers.append(OptionalWriter(type(other).__name__, other, self._report))
        except (OSError, UnwritableError):
            self.close()
            raise

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turns errors of writing into a message."""
        try:
            yield
        except (OSError, UnwritableError) as error:
            raise UserError(
                f"the metrics of the run cannot be written to {self._workdir}: {reason_of(error)}. "
                "Check the free space and the permissions, then start the same command again; it continues."
            ) from error


def _open_service(name: str, run: TrackedRun) -> MetricWriter:
    """Opens the run of a tracking service; the packages are imported here, in the thread that uses them."""
    if name == "wandb":
        from motion_vit.training.logs.wandb_writer import WandbWriter

        return WandbWriter(run)
    from motion_vit.training.logs.mlflow_writer import MlflowWriter

    return MlflowWriter(run)


def _json_line(record: Mapping[str, float | str]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_json_lines(path: pathlib.Path) -> list[dict[str, float | str]]:
    """Reads the records of a run.

    Args:
      path: a file of `JsonLinesWriter`.

    Returns:
      One mapping per line; none without a file. A last line that a killed run left incomplete is dropped.

    Raises:
      UserError: the file cannot be read, or a line is damaged.
    """
    try:
        text = read_regular_text(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Repair or remove it.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: {error}. Repair or remove it.") from error
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(text.split("\n")[:-1], start=1)]


def _record(line: str, where: str) -> dict[str, float | str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is damaged: {error}. Remove this line.") from error
    if not isinstance(record, dict) or type(record.get("step")) is not int or not isinstance(record.get("split"), str):
        raise UserError(f"{where} is damaged: it is no record of a step and a split. Remove this line.")
    if not all(_is_finite(value) for name, value in record.items() if name != "split"):
        raise UserError(f"{where} is damaged: it holds something else than finite numbers. Remove this line.")
    return record


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # of a whole number with hundreds of digits
        return False
