"""What one run of a comparison came to, kept beside its checkpoints."""

import dataclasses
import json
import os
import pathlib

from motion_vit.errors import UserError

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
      top1: accuracy on them.
      frozen: the same where every frame is the middle one.
      shuffled: the same with the frames in random order.
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

    def write(self, folder: pathlib.Path) -> None:
        """Writes `result.json`, whole or not at all.

        Args:
          folder: of the run.
        """
        unfinished = folder / f"{RESULT_FILE}.unfinished"
        unfinished.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, folder / RESULT_FILE)


def read_result(folder: pathlib.Path) -> RunResult | None:
    """Reads the result of a run that is finished.

    Args:
      folder: of the run.

    Returns:
      The result, None if there is none yet.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / RESULT_FILE
    if not path.exists():
        return None
    try:
        return RunResult(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}. Delete it, and the run is evaluated again.") from error
