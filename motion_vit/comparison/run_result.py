"""The result of one run of a comparison, kept beside its checkpoints."""

import dataclasses
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

from motion_vit.comparison.conditions import Conditions
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, write_text
from motion_vit.files.json_file import read_json

RESULT_FILE = "result.json"


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One row's model, trained with one seed.

    Attributes:
      row: name of the row.
      seed: of initialisation, data order, augmentation and dropout.
      parameters: of the model.
      multiply_adds: of a forward pass of one clip.
      steps: training steps.
      clips_per_second: of training, the median over the log lines; None without one.
      classes: classes of the data.
      videos: held-out videos.
      top1: accuracy on the held-out videos.
      frozen: accuracy where every frame is the middle one.
      shuffled: accuracy with the frames in random order.
      conditions: results with equal conditions are comparable.
      mean_class: mean accuracy of the classes on the held-out videos; None of results that older versions wrote.
    """

    row: str
    seed: int
    parameters: int
    multiply_adds: int
    steps: int
    clips_per_second: float | None
    classes: int
    videos: int
    top1: float
    frozen: float
    shuffled: float
    conditions: Conditions
    mean_class: float | None = None

    def write(self, folder: pathlib.Path) -> None:
        """Writes `result.json` atomically.

        Args:
          folder: of the run.

        Raises:
          UserError: it cannot be written.
        """
        try:
            write_text(folder / RESULT_FILE, json.dumps(dataclasses.asdict(self), indent=2) + "\n")
        except UnwritableError as error:
            raise UserError(f"{error} The same command evaluates the run again.") from error


def read_result(folder: pathlib.Path) -> RunResult | None:
    """Reads the result of a finished run.

    Args:
      folder: of the run.

    Returns:
      The result, None if there is none yet.

    Raises:
      UserError: the file is damaged or cannot be read.
    """
    path = folder / RESULT_FILE
    try:
        values = read_json(path)
        _check_fields(RunResult, values, optional={"mean_class"})
        _check_fields(Conditions, values["conditions"])
        return RunResult(**{**values, "conditions": Conditions(**values["conditions"])})
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}. Check the permissions.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}. Delete it, and the run is evaluated again.") from error


def _check_fields(kind: type, values: Any, optional: Collection[str] = ()) -> None:
    """Checks names and types of a dataclass's fields; raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError(f"a JSON object was expected, not {values!r}")
    expected = get_type_hints(kind)
    if differing := (values.keys() ^ expected.keys()) - (set(optional) - values.keys()):
        raise ValueError(f"it has other fields than a result: {', '.join(sorted(differing))}")
    for name, value in values.items():
        # JSON does not tell 1.0 from 1; bool is a subclass of int, but True is no number of classes.
        accepted = {float: float | int, float | None: float | int | None, Conditions: Mapping}.get(
            expected[name], expected[name]
        )
        if not isinstance(value, accepted) or (isinstance(value, bool) and expected[name] is not bool):
            raise ValueError(f"{name} is {value!r}")
