"""One run of a comparison: trained, and evaluated with its controls."""

import contextlib
import dataclasses
import pathlib
from typing import TextIO

from ml_collections import ConfigDict

from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.run_result import RunResult, read_result
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.errors import UserError
from motion_vit.terminal import safe_stream
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.loop.loop import train
from motion_vit.training.loop.workdir import RECIPE_FILE, check_continues
from motion_vit.training.recipe.checks import build_model

LOG_FILE = "log.txt"


@dataclasses.dataclass(frozen=True)
class ComparisonRun:
    """A row trained with one seed.

    Attributes:
      row: name of the row.
      seed: added to the seed of the row's recipe.
      config: the recipe, with that seed.
      folder: workdir of the run.
      conditions: of the recipe.
      place: what else tells the run from others, such as "4 shots of jester"; "" for nothing.
    """

    row: str
    seed: int
    config: ConfigDict
    folder: pathlib.Path
    conditions: Conditions
    place: str = ""

    @property
    def label(self) -> str:
        """The row, the place and the seed, for people."""
        return ", ".join(part for part in (self.row, self.place, f"seed {self.seed}") if part)

    def __str__(self) -> str:
        """Names the run in messages."""
        return f"row {self.row!r}, seed {self.seed} ({self.folder})"

    def known_result(self) -> RunResult | None:
        """Reads the result of a finished run that was measured under the current conditions.

        Returns:
          The result; None if there is something to train or to evaluate. Changes in the training data are left for
          training to report.

        Raises:
          UserError: the folder holds a run that was trained with another recipe, or its files are damaged.
        """
        known = read_result(self.folder)
        if known is None or not (self.folder / RECIPE_FILE).exists():
            return None
        try:
            check_continues(self.folder, self.config)
        except (UserError, OSError) as error:
            raise UserError(f"{self}: {error}") from error
        return known if known.conditions == self.conditions else None

    def open_log(self) -> TextIO:
        """Opens the run's log file for appending.

        Returns:
          `log.txt` of the folder, which is made if it is missing.

        Raises:
          UserError: the folder or the file cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return (self.folder / LOG_FILE).open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{self.folder / LOG_FILE} cannot be written: {error.strerror or error}. Check the free space and the "
                "permissions, or give another --workdir."
            ) from error

    def finish(self) -> RunResult | UserError | None:
        """Trains and evaluates, or continues where an earlier call stopped. Output goes to `log.txt`.

        Returns:
          The result. None if training was stopped by a signal, after saving. If the recipe or the data cannot be used,
          an error that names the run; it is returned because other runs can go on.
        """
        try:
            with self.open_log() as log, contextlib.redirect_stdout(safe_stream(log)):
                training = train(self.config, self.folder)
            return self._evaluate(training.steps, training.clips_per_second) if training.completed else None
        except UserError as error:
            return UserError(f"{self}: {error}")

    def _evaluate(self, steps: int, clips_per_second: float | None) -> RunResult:
        orders: tuple[FrameOrder, ...] = ("normal", "frozen", "shuffled")
        trained = load_trained(self.folder)
        evaluations = {
            order: evaluate_checkpoint(trained, self.config.data.validation, frame_order=order) for order in orders
        }
        classes = len(evaluations["normal"].label_names)
        costs = build_model(self.config, classes).costs.values()
        result = RunResult(
            row=self.row,
            seed=self.seed,
            parameters=sum(cost.parameters for cost in costs),
            multiply_adds=sum(cost.multiply_adds for cost in costs),
            steps=steps,
            clips_per_second=clips_per_second,
            classes=classes,
            videos=evaluations["normal"].videos,
            top1=evaluations["normal"].top1,
            frozen=evaluations["frozen"].top1,
            shuffled=evaluations["shuffled"].top1,
            conditions=self.conditions,
            mean_class=evaluations["normal"].mean_class,
        )
        result.write(self.folder)
        return result
