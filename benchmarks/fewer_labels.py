"""Compares what helps where labels are few, on the rows of a recipe: pretraining, frozen networks, unlabelled videos.

    python benchmarks/fewer_labels.py --workdir build/fewer_labels --seeds 3

Renders 2000 videos of ten motions, and measures on 400 others (configs/fewer_labels.py has the networks):

- `pretraining`: EMIM and VideoMAE are pretrained once in each way without labels. For each seed, 10 %, 30 % and all of
  the labels then fine-tune them and fit a linear probe of their features, as they do from random weights.
- `frozen`: a network of single frames learns to tell ten textures apart. With all labels, all of it is trained on, or
  an adapter and the temporal encoder on its frozen frames; and the same of a network with random weights.
- `unlabelled`: 5 % and 10 % of the labels train the EMIM that was pretrained by the photometric loss, alone and with
  all videos as unlabelled ones.

Labels train every network for `--steps`, those of `frozen` for twice as many, and those of `unlabelled` for half. At
the end it prints a table of each experiment, means and standard deviations over the seeds, and draws `pretraining.png`.
The same command continues one that was stopped. `--experiments pretraining` runs one of them.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from motion_vit.comparison.table_cells import mean_and_deviation, table_line
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.preparation.subset import write_subset
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.subset_choice import SubsetSize
from motion_vit.files.atomic_file import write_text
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.loop.loop import train
from motion_vit.training.parallel.compilation_cache import enable_compilation_cache
from motion_vit.training.probing.probe import probe_checkpoint
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.file import load_config

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "configs" / "fewer_labels.py"
PRETRAINED = {"emim": ("filling", "photometric"), "videomae": ("tube", "motion")}
ADAPTERS = ("none", "bottleneck", "attention", "emim")
EXPERIMENTS = {"pretraining": 1.0, "frozen": 2.0, "unlabelled": 0.5}
"""Each with its steps, as a multiple of those that are asked for."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A network that is trained on some of the labels.

    Attributes:
      experiment: one of `EXPERIMENTS`.
      row: of the recipe, what is trained.
      share: of the labels of each class.
      start: row whose weights it starts from; "" for random ones.
      probed: whether a linear probe of `start` is measured, and not a training.
    """

    experiment: str
    row: str
    share: float
    start: str = ""
    probed: bool = False

    @property
    def name(self) -> str:
        """Names the line of the table."""
        return self.row + (f" from {self.start}" if self.start else "") + (", linear probe" if self.probed else "")


def trials(experiment: str) -> Iterator[Trial]:
    """Lists the trials of an experiment."""
    if experiment == "pretraining":
        for probed in (False, True):
            for row, kinds in PRETRAINED.items():
                for start in ("", *(f"pretrain-{kind}" for kind in kinds)):
                    for share in (0.1, 0.3, 1.0):
                        yield Trial(experiment, row, share, start, probed)
    elif experiment == "frozen":
        for start in ("", "image"):
            for row in ("vivit", *(f"frozen-{adapter}" for adapter in ADAPTERS)):
                yield Trial(experiment, row, 1.0, start)
    else:
        for row in ("emim", "emim-fixmatch", "emim-adaptive"):
            for share in (0.05, 0.1):
                yield Trial(experiment, row, share, "pretrain-photometric")


@dataclasses.dataclass(frozen=True)
class Experiments:
    """The experiments in their folder.

    Attributes:
      workdir: gets the videos, a folder for each run, and the results.
      steps: of a network that is trained on labels.
      pretraining_steps: of one that is pretrained.
      overrides: changes of every recipe, of the form `--config.key=value`.
      clips: name of a split -> number of its videos.
    """

    workdir: pathlib.Path
    steps: int = 600
    pretraining_steps: int = 2000
    overrides: Sequence[str] = ()
    clips: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"train": 2000, "validation": 400})

    def measure(self, trial: Trial, seed: int) -> dict[str, float]:
        """Trains or probes, or reads the result of having done so.

        Args:
          trial: what to do.
          seed: chooses the clips with labels, and is added to the seed of the recipe.

        Returns:
          `top1`, and the seconds that it took; of a training, its `clips_per_second`.
        """
        name = trial.name.replace(" ", "_")
        folder = self.workdir / "runs" / trial.experiment / name / f"share{trial.share:g}" / f"seed{seed}"
        result = folder.with_suffix(".json")
        if not result.exists():
            start = time.perf_counter()
            found = self._probe(trial, seed) if trial.probed else self._train(trial, seed, folder)
            result.parent.mkdir(parents=True, exist_ok=True)
            write_text(result, json.dumps({**found, "seconds": time.perf_counter() - start}) + "\n")
        return dict(json.loads(result.read_text(encoding="utf-8")))

    def _train(self, trial: Trial, seed: int, folder: pathlib.Path) -> dict[str, float]:
        config = self._config(trial.row, seed)
        config.data.train = str(self._labelled(trial.share, seed))
        if trial.start:
            config.initial_weights = str(self._pretrained(trial.start))
        if trial.start == "image":
            config.temporal_weights = "anew"
        self._set_steps(config, int(self.steps * EXPERIMENTS[trial.experiment]))
        done = train(config, folder)
        assert done.top1 is not None
        return {"top1": done.top1, "clips_per_second": done.clips_per_second or 0.0}

    def _probe(self, trial: Trial, seed: int) -> dict[str, float]:
        videos = self._labelled(trial.share, seed)
        checkpoint = self._pretrained(trial.start) if trial.start else self._untrained(trial.row, seed)
        found = probe_checkpoint(
            checkpoint, videos, validation=self._videos["validation"], method="linear", batch_size=100, seed=seed
        )
        return {"top1": found.top1}

    def _untrained(self, row: str, seed: int) -> TrainedModel:
        """Gives a network with random weights, as its training starts from."""
        config = self._config(row, seed)
        names = tuple(open_source(self._videos["train"], default_split="train").label_names)
        traced = build_model(config, len(names))
        return TrainedModel(traced.model, traced.init(jax.random.key(config.seed)), names, config, step=0)

    def _pretrained(self, row: str) -> pathlib.Path:
        """Trains what other networks start from, unless it is there; returns its folder."""
        folder = self.workdir / "starts" / row
        config = self._config(row, 0)
        config.data.train = str(self._videos["train"])
        if row == "image":
            looks = self._looks
            config.data.train, config.data.validation = str(looks["train"]), str(looks["validation"])
            self._set_steps(config, self.steps)
        else:
            self._set_steps(config, self.pretraining_steps)
        train(config, folder)
        return folder

    def _config(self, row: str, seed: int) -> ConfigDict:
        config = load_config(f"{RECIPE}:{row}", self.overrides)
        config.seed += seed
        if config.data.validation:
            config.data.validation = str(self._videos["validation"])
        if config.unlabelled.data:
            config.unlabelled.data = str(self._videos["train"])
        return config

    def _set_steps(self, config: ConfigDict, steps: int) -> None:
        """Sets epochs by steps, a tenth of which warm up."""
        clips = len(open_source(config.data.train, default_split="train"))
        config.epochs = steps * config.batch_size / clips
        config.optimizer.warmup_epochs = config.epochs / 10

    def _labelled(self, share: float, seed: int) -> pathlib.Path:
        """Chooses the clips with labels; those of a smaller share are among those of a larger one."""
        if share == 1:
            return self._videos["train"]
        # A list names videos by paths relative to it.
        path = self.workdir / "videos" / f"share{share:g}-seed{seed}.csv"
        if not path.exists():
            source = open_source(self._videos["train"], default_split="train")
            write_subset(source, path, SubsetSize(share=share), seed=seed, progress=False)
        return path

    @functools.cached_property
    def _videos(self) -> dict[str, pathlib.Path]:
        return render_dataset(self.workdir / "videos", splits=self.clips)

    @functools.cached_property
    def _looks(self) -> dict[str, pathlib.Path]:
        """Renders videos of which each frame tells the class by its texture."""
        return render_dataset(self.workdir / "looks", splits=self.clips, seed=1, appearance_bias=1.0)


def table(results: Mapping[Trial, Sequence[Mapping[str, float]]]) -> str:
    """Formats results as a table of Markdown.

    Args:
      results: the measures of each seed of each trial, of one experiment.

    Returns:
      For each network top-1 in percent by share of the labels, means over the seeds and, of several, standard
      deviations; and the median pace of its trainings.
    """
    shares = sorted({trial.share for trial in results})
    names = list(dict.fromkeys(trial.name for trial in results))
    by_place = {(trial.name, trial.share): found for trial, found in results.items()}
    lines = [
        table_line(["network", *(f"{100 * share:g} % of the labels" for share in shares), "clips/s"]),
        table_line(["---", *["---:"] * (len(shares) + 1)]),
    ]
    for name in names:
        found = [by_place[name, share] for share in shares if (name, share) in by_place]
        paces = [each["clips_per_second"] for seeds in found for each in seeds if "clips_per_second" in each]
        top1 = [[each["top1"] for each in by_place.get((name, share), ())] for share in shares]
        cells = [mean_and_deviation(seeds) if seeds else "" for seeds in top1]
        lines.append(table_line([name, *cells, f"{np.median(paces):.0f}" if paces else ""]))
    return "\n".join(lines)


def draw(results: Mapping[Trial, Sequence[Mapping[str, float]]], target: pathlib.Path) -> None:
    """Draws the accuracy of fine-tuning and of probes by the share of the labels.

    Args:
      results: as for `table`, of the experiment `pretraining`.
      target: the picture.
    """
    figure = Figure(figsize=(9, 7), layout="constrained")
    for place, axes in enumerate(figure.subplots(2, 2, sharex=True, sharey=True).flat):
        row, probed = list(PRETRAINED)[place % 2], place >= 2
        lines: dict[str, list[tuple[float, np.ndarray]]] = {}
        for trial, found in results.items():
            if (trial.row, trial.probed) == (row, probed):
                accuracies = 100 * np.array([each["top1"] for each in found])
                lines.setdefault(trial.start or "random weights", []).append((100 * trial.share, accuracies))
        for start, points in lines.items():
            shares = [share for share, _ in points]
            drawn = axes.plot(shares, [accuracies.mean() for _, accuracies in points], "o-", label=start)
            for share, accuracies in points:
                axes.plot([share] * len(accuracies), accuracies, ".", color=drawn[0].get_color(), alpha=0.5)
        axes.set(title=f"{row}, {'linear probe' if probed else 'fine-tuned'}", xscale="log", xticks=[10, 30, 100])
        axes.set_xticklabels(["10", "30", "100"])
        axes.set(xlabel="labels, %" if place >= 2 else "", ylabel="top-1, %" if place % 2 == 0 else "")
        axes.minorticks_off()
        axes.legend()
    figure.savefig(target, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the experiments and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=tuple(EXPERIMENTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600, help="of a training with labels; default: 600")
    parser.add_argument("--pretraining-steps", type=int, default=2000, metavar="STEPS", help="default: 2000")
    options, overrides = parser.parse_known_args(arguments)
    enable_compilation_cache()
    experiments = Experiments(options.workdir, options.steps, options.pretraining_steps, overrides)
    for name in options.experiments:
        results: dict[Trial, list[dict[str, float]]] = {}
        for seed in range(options.seeds):
            for trial in trials(name):
                results.setdefault(trial, []).append(experiments.measure(trial, seed))
                print(f"{trial.name}, {100 * trial.share:g} %, seed {seed}: {results[trial][-1]}", flush=True)
        print(table(results))
        if name == "pretraining":
            draw(results, options.workdir / "pretraining.png")


if __name__ == "__main__":
    main()
