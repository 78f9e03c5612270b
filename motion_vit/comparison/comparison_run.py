"""One run of a comparison: trained, and evaluated with its controls."""

import contextlib
import dataclasses
import pathlib

from ml_collections import ConfigDict

from motion_vit.comparison.run_result import RunResult, read_result
from motion_vit.data.clip_sampling import FrameOrder
from motion_vit.models.inspection import measure_costs
from motion_vit.training.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.load_trained import load_trained
from motion_vit.training.loop import train

LOG_FILE = "log.txt"


@dataclasses.dataclass(frozen=True)
class ComparisonRun:
    """A row with a seed.

    Attributes:
      row: name of the row.
      seed: the seed.
      config: the recipe, with that seed.
      folder: workdir of the run.
    """

    row: str
    seed: int
    config: ConfigDict
    folder: pathlib.Path

    def finish(self) -> RunResult | None:
        """Trains and evaluates, or goes on where an earlier call stopped. What is printed goes to `log.txt`.

        Returns:
          The result; None if training was stopped by a signal, after saving.

        Raises:
          UserError: the recipe or the data cannot be used.
        """
        if (known := read_result(self.folder)) is not None:
            return known
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
            training = train(self.config, self.folder)
        if not training.completed:
            return None
        orders: tuple[FrameOrder, ...] = ("normal", "frozen", "shuffled")
        evaluations = {
            order: evaluate_checkpoint(self.folder, self.config.data.validation, frame_order=order) for order in orders
        }
        costs = measure_costs(load_trained(self.folder).model).values()
        result = RunResult(
            row=self.row,
            seed=self.seed,
            parameters=sum(cost.parameters for cost in costs),
            multiply_adds=sum(cost.multiply_adds for cost in costs),
            steps=training.steps,
            clips_per_second=training.clips_per_second,
            classes=len(evaluations["normal"].label_names),
            videos=evaluations["normal"].videos,
            top1=evaluations["normal"].top1,
            frozen=evaluations["frozen"].top1,
            shuffled=evaluations["shuffled"].top1,
        )
        result.write(self.folder)
        return result
