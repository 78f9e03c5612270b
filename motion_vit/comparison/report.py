"""The report of a comparison: table, pictures and numbers, made of the results in its folder."""

import dataclasses
import json
import pathlib

from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.learning_curves import draw_learning_curves, read_learning_curve
from motion_vit.comparison.plot import draw_comparison
from motion_vit.comparison.run_result import RESULT_FILE, RunResult, read_result
from motion_vit.comparison.table import comparison_table
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, write_text

RUNS_FOLDER = "runs"
TABLE_FILE = "comparison.md"
PLOT_FILE = "comparison.png"
CURVES_FILE = "learning_curves.png"
RESULTS_FILE = "comparison.json"


def run_folder(workdir: pathlib.Path, row: str, seed: int) -> pathlib.Path:
    """Returns the workdir of a run.

    Args:
      workdir: folder of the comparison.
      row: name of the run's row.
      seed: added to the seed of the row's recipe.

    Returns:
      The folder, which need not exist yet.
    """
    return workdir / RUNS_FOLDER / row / f"seed{seed}"


@dataclasses.dataclass(frozen=True)
class Report:
    """The report of a comparison.

    Attributes:
      workdir: folder of the comparison.
      conditions: only results with these conditions are reported.
      order: names of rows in the order in which they are reported; others follow by name.
    """

    workdir: pathlib.Path
    conditions: Conditions
    order: tuple[str, ...]

    def renew(self) -> None:
        """Rewrites `comparison.json`, `comparison.md` and the pictures, if there is a result.

        Raises:
          UserError: a result is damaged, or the files cannot be written.
        """
        results = self._results()
        if not results:
            return
        records = [dataclasses.asdict(result) for result in results]
        try:
            write_text(self.workdir / RESULTS_FILE, json.dumps(records, indent=2) + "\n")
            write_text(self.workdir / TABLE_FILE, comparison_table(results) + "\n")
            draw_comparison(results, self.workdir / PLOT_FILE)
            curves = [
                (result, read_learning_curve(run_folder(self.workdir, result.row, result.seed))) for result in results
            ]
            draw_learning_curves(curves, self.workdir / CURVES_FILE)
        except OSError as error:  # of the runs' metrics; what is written says so itself
            raise UserError(
                f"{error.filename} cannot be read: {error.strerror or error}. Check the permissions."
            ) from error
        except UnwritableError as error:
            raise UserError(f"{error} The same command writes the table and the pictures again.") from error

    def show(self) -> None:
        """Prints the table, if there is a result.

        Raises:
          UserError: a result is damaged.
        """
        if results := self._results():
            print(comparison_table(results))

    def _results(self) -> list[RunResult]:
        """Reads all results with these conditions, row by row and seed by seed."""
        found = [read_result(path.parent) for path in (self.workdir / RUNS_FOLDER).glob(f"*/*/{RESULT_FILE}")]
        results = [result for result in found if result is not None and result.conditions == self.conditions]
        places = {row: place for place, row in enumerate(self.order)}
        return sorted(results, key=lambda result: (places.get(result.row, len(places)), result.row, result.seed))
