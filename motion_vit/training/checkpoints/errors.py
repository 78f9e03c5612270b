"""Errors of checkpoints that cannot be written, cannot be read, or belong to another model."""

import contextlib
import logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from absl import logging as absl_logging
from flax import traverse_util

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.checksums import damaged_files, has_checksums
from motion_vit.training.parallel.processes import errors_together, is_primary, shard

_SHOWN_DIFFERENCES = 8
_LONG_REASON = 100
_SHOWN_DAMAGE = 3

_logger = logging.getLogger(__name__)


class CheckpointWriteError(UserError):
    """Error of a checkpoint that cannot be written."""


@contextlib.contextmanager
def write_errors(folder: pathlib.Path, saved_steps: Callable[[], Sequence[int]]) -> Iterator[None]:
    """Turns errors of the disk into a message.

    Args:
      folder: of the checkpoints.
      saved_steps: returns the steps of complete checkpoints, rising.

    Raises:
      CheckpointWriteError: the code inside could not write.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # TensorStore raises a ValueError for every error of the file system
        saved = saved_steps()
        left = f"That of step {saved[-1]} is intact" if saved else "There is none from before"
        raise CheckpointWriteError(
            f"a checkpoint cannot be written to {folder}: {_reason(error)}. {left}. Check the free space and the "
            "permissions, then start the same command again; it continues."
        ) from error


class WithoutRepeatedErrors(contextlib.AbstractContextManager[None]):
    """Keeps an error that Orbax raises from also being printed many times.

    Orbax logs it with the traceback of each of its threads, asyncio with that of each other pending array, and
    TensorStore's other writes find the event loop closed that they report to. Some messages come when objects are
    garbage-collected, which may be after this object is gone: a generator would have removed its filters by then.
    """

    def __init__(self) -> None:
        self._loggers = (absl_logging.get_absl_logger(), logging.getLogger("asyncio"))
        self._tell_others = sys.unraisablehook

    def __enter__(self) -> None:
        """Installs the filters."""
        for logger in self._loggers:
            logger.addFilter(_is_told)
        self._tell_others, sys.unraisablehook = sys.unraisablehook, self._tell

    def __exit__(self, *_: object) -> None:
        """Removes them."""
        for logger in self._loggers:
            logger.removeFilter(_is_told)
        sys.unraisablehook = self._tell_others

    def _tell(self, unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._tell_others(unraisable)


@contextlib.contextmanager
def read_errors(folder: pathlib.Path, step: int, steps: Sequence[int]) -> Iterator[None]:
    """Turns errors of reading into a message.

    Args:
      folder: of the checkpoints.
      step: step of the checkpoint to read.
      steps: steps of all checkpoints.

    Raises:
      UserError: the code inside could not read.
    """
    try:
        yield
    except (UserError, jax.errors.JaxRuntimeError):  # the latter is of devices, not of files
        raise
    except Exception as error:  # what Orbax and TensorStore make of damaged files has no common class
        raise UserError(
            f"the checkpoint {folder / str(step)} cannot be read: {_reason(error)}. If it is damaged, "
            f"{without_checkpoint(folder, step, steps)}."
        ) from error


def check_intact(folder: pathlib.Path, step: int, steps: Sequence[int], *, within: str = "") -> None:
    """Compares the files of a checkpoint with their checksums; every process must call it, and each reads its part.

    A checkpoint without checksums, of an older version, passes; the first process logs it.

    Args:
      folder: of the checkpoints.
      step: step of the checkpoint to look at.
      steps: steps of all checkpoints.
      within: start of the paths to look at, such as "metrics/"; "" for all files.

    Raises:
      UserError: files are damaged or missing. All processes raise it.
    """
    checkpoint = folder / str(step)
    part, parts = shard()
    with errors_together():
        if not has_checksums(checkpoint):
            if is_primary() and not within:
                _logger.warning(
                    "%s has no checksums, because another program or an older version of motion_vit has written it: "
                    "damage in it would not be noticed",
                    checkpoint,
                )
        elif damage := damaged_files(checkpoint, within=within, part=part, parts=parts):
            advice = without_checkpoint(folder, step, steps)
            raise UserError(
                f"the checkpoint {checkpoint} is damaged: {shortened(damage)}. {advice[0].upper()}{advice[1:]}."
            )


def without_checkpoint(folder: pathlib.Path, step: int, steps: Sequence[int]) -> str:
    """Says how to go on without a checkpoint that is damaged.

    Args:
      folder: of the checkpoints.
      step: step of the damaged one.
      steps: steps of all checkpoints.

    Returns:
      A clause that names the latest of the others that is intact.
    """
    others = sorted((other for other in steps if other != step), reverse=True)
    for other in others:
        if has_checksums(folder / str(other)) and damaged_files(folder / str(other)):
            continue
        state = "is intact" if has_checksums(folder / str(other)) else "has no checksums"
        return f"remove this folder to continue from step {other}, which {state}: the same command then takes that one"
    state = "none of the others is intact" if others else "there is no other one"
    return f"copy this folder again from where it is intact, or train again with another --workdir: {state}"


def shortened(clauses: Sequence[str]) -> str:
    """Joins the first clauses of a list that may be long.

    Args:
      clauses: at least one.

    Returns:
      A clause.
    """
    more = len(clauses) - _SHOWN_DAMAGE
    return "; ".join(clauses[:_SHOWN_DAMAGE]) + (f"; and {more} more files" if more > 0 else "")


def check_same_model(
    found: Any, expected: Any, where: str, advice: str = "Use the config that it was trained with, or another workdir."
) -> None:
    """Compares names and shapes; refuses a checkpoint of another model with the list of differences.

    Args:
      found: variables of the checkpoint, or their shapes.
      expected: variables of the model, or their shapes.
      where: name of the checkpoint, for the message.
      advice: sentence of advice, for the message.

    Raises:
      UserError: they differ.
    """
    there, wanted = _flat_shapes(found), _flat_shapes(expected)
    differences = [f"  the checkpoint lacks {name} {shape}" for name, shape in wanted.items() if name not in there]
    differences += [f"  the model has no {name} {shape}" for name, shape in there.items() if name not in wanted]
    differences += [
        f"  {name} is {there[name]} in the checkpoint, but {shape} in the model"
        for name, shape in wanted.items()
        if name in there and there[name] != shape
    ]
    if differences:
        shown = "\n".join(differences[:_SHOWN_DIFFERENCES])
        more = len(differences) - _SHOWN_DIFFERENCES
        rest = f"\n  and {more} more" if more > 0 else ""
        raise UserError(f"{where} is of another model:\n{shown}{rest}\n{advice}")


def _is_told(record: logging.LogRecord) -> bool:
    """Tells if a record is printed: all but errors that Orbax logs or whose traceback leads through its code."""
    failed_in = traceback.walk_tb(record.exc_info[2] if record.exc_info else None)
    places = [record.pathname, *(frame.f_code.co_filename for frame, _ in failed_in)]
    return record.levelno < logging.ERROR or not any(f"{os.sep}orbax{os.sep}" in place for place in places)


def _flat_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in traverse_util.flatten_dict(tree, sep="/").items()}


def _reason(error: Exception) -> str:
    """Extracts the system's message from the end of TensorStore's long lines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):  # whose text is a key in quotes, or of Orbax a sentence and a list
        return f"a part of it is missing: {' '.join(map(str, error.args)).split('. ')[0]}"
    line = (str(error).splitlines() or ["no reason given"])[0].split(" [")[0].rstrip(".:")
    line = line if len(line) < _LONG_REASON else line.rsplit(": ", 1)[-1][:_LONG_REASON]
    return line if isinstance(error, OSError | ValueError) else f"{line} ({type(error).__name__})"
