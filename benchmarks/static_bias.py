"""Measures the static bias of small networks that were trained with and without StillMix, on the rows of a recipe.

    python benchmarks/static_bias.py --workdir build/static_bias --seeds 3

Renders videos whose backgrounds follow labels with a probability of 0.95. For each seed it trains a network of single
frames, makes a bank of still frames, and trains TSN, TSM, TimeSformer, UniFormer and EMIM with and without that bank
(configs/static_bias.py). At the end it prints a table of means and standard deviations. The same command continues one
that was stopped. Changes of all recipes follow as `--config.epochs=20`, other rows with `--rows`.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from motion_vit.comparison.table_cells import mean_and_deviation, table_line
from motion_vit.data.embedded.dataset import DEFAULT_SPLITS, render_dataset
from motion_vit.files.atomic_file import write_text
from motion_vit.training.evaluation.frame_scores import make_still_bank
from motion_vit.training.evaluation.static_bias import evaluate_static_bias
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
from motion_vit.training.recipe.file import load_config

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "configs" / "static_bias.py"
ROWS = tuple(
    f"{network}{still}" for network in ("tsn", "tsm", "timesformer", "uniformer", "emim") for still in ("", "-bank")
)
COLUMNS = ("iid", "scuba", "scufo", "contrasted", "conflict", "follows_look")
RESULT_FILE = "static_bias.json"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The experiment in its folder.

    Attributes:
      workdir: gets the videos, a folder for each run, and the results.
      overrides: changes of every recipe, of the form `--config.key=value`.
      clips: name of a split -> number of its videos.
      bias: probability that a background follows the label.
    """

    workdir: pathlib.Path
    overrides: Sequence[str] = ()
    clips: tuple[tuple[str, int], ...] = tuple(DEFAULT_SPLITS.items())
    bias: float = 0.95

    def render(self) -> dict[str, pathlib.Path]:
        """Renders the videos, or finds them; returns the lists."""
        return render_dataset(self.workdir / "videos", splits=dict(self.clips), appearance_bias=self.bias)

    def measure(self, row: str, seed: int) -> dict[str, float]:
        """Trains and evaluates a row, or reads its result.

        Args:
          row: of the recipe.
          seed: added to that of the recipe.

        Returns:
          The measures of `COLUMNS`.
        """
        lists, folder = self.render(), self._folder(row, seed)
        result = folder / RESULT_FILE
        if not result.exists():
            config = self._config(row, seed)
            if config.augmentation.still == "bank":
                config.augmentation.still_bank = str(self._bank(seed, config.data.size))
            train(config, folder)
            _, bias = evaluate_static_bias(folder, lists["validation"])
            write_text(result, json.dumps(bias.to_dict(), indent=2) + "\n")
        found = json.loads(result.read_text(encoding="utf-8"))
        return {name: found[name] for name in COLUMNS}

    def _bank(self, seed: int, size: int) -> pathlib.Path:
        """Makes the bank of still frames of a seed, unless it is there."""
        path = self.workdir / "banks" / f"seed{seed}.npz"
        if not path.exists():
            folder = self._folder("frame", seed)
            train(self._config("frame", seed), folder)
            make_still_bank(folder, self.render()["train"], path, size=size)
        return path

    def _config(self, row: str, seed: int) -> ConfigDict:
        config = load_config(f"{RECIPE}:{row}", self.overrides)
        config.seed += seed
        lists = self.render()
        config.data.train, config.data.validation = str(lists["train"]), str(lists["validation"])
        return config

    def _folder(self, row: str, seed: int) -> pathlib.Path:
        return self.workdir / "runs" / row / f"seed{seed}"


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Formats results as a table of Markdown.

    Args:
      results: row -> measures of each seed.

    Returns:
      Means over the seeds and, of several, standard deviations, in percent.
    """
    lines = [table_line(["row", *COLUMNS]), table_line(["---", *["---:"] * len(COLUMNS)])]
    for row, seeds in results.items():
        lines.append(table_line([row, *(mean_and_deviation([one[name] for one in seeds]) for name in COLUMNS)]))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the experiment and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    for split, clips in DEFAULT_SPLITS.items():
        parser.add_argument(f"--{split}", type=int, default=clips, metavar="N", help=f"videos; default: {clips}")
    options, overrides = parser.parse_known_args(arguments)
    enable_compilation_cache()
    clips = tuple((split, getattr(options, split)) for split in DEFAULT_SPLITS)
    experiment = Experiment(options.workdir, overrides, clips)
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for row in options.rows:
            results.setdefault(row, []).append(experiment.measure(row, seed))
            print(f"{row}, seed {seed}: {results[row][-1]}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
