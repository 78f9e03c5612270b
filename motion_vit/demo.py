"""The demo: renders data, trains a model and shows that it looks at motion, in one command."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from motion_vit.counts import counted
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.outside_text import for_terminal
from motion_vit.training.checkpoints.run_checkpoints import CHECKPOINTS_FOLDER, load_for_inference
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.evaluation.report import write_report
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.logs.curves import CURVES_FILE
from motion_vit.training.logs.progress import duration
from motion_vit.training.logs.writers import METRICS_FILE, TENSORBOARD_FOLDER
from motion_vit.training.loop.loop import TrainingResult, train
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.file import load_config
from motion_vit.visualization.output_files import write_files
from motion_vit.visualization.visualize import visualize

_STAGES = 6
VISUALIZATION_FOLDER = "visualization"

SPLITS: Mapping[str, int] = {"train": 4000, "validation": 400}
"""Videos that the demo renders: enough for its recipe, in half a minute on two cores."""

# The control's name in the table, and its meaning.
_CONTROLS: Mapping[FrameOrder, str] = {
    "frozen": "every frame is the middle one: chance, if one frame says nothing",
    "shuffled": "frames in random order: at most 50 %, if only order tells mirror classes apart",
}

SMALL: Mapping[str, Any] = {
    "splits": {"train": 32, "validation": 16},
    "overrides": (
        "--config.epochs=1",
        "--config.optimizer.warmup_epochs=0.5",
        "--config.evaluation.batch_size=16",
        "--config.evaluation.clips=1",
    ),
}
"""Arguments of `run_demo` for its smallest size, which runs everything once and learns nothing."""


def run_demo(
    workdir: pathlib.Path,
    recipe: str,
    *,
    seed: int = 0,
    splits: Mapping[str, int] = SPLITS,
    overrides: Sequence[str] = (),
) -> bool:
    """Renders, prepares, trains, evaluates with controls, predicts, draws, and prints a closing table.

    An interrupted demo continues when it is run again.

    Args:
      workdir: folder of all output.
      recipe: config file, or name of an installed recipe.
      seed: of the videos, and of the training in place of the recipe's.
      splits: videos to render for `train` and `validation`.
      overrides: changes of the recipe, as for `load_config`.

    Returns:
      False if training was stopped by Ctrl-C.

    Raises:
      UserError: the recipe cannot be used, or the folder holds another demo.
    """
    config = load_config(recipe, overrides)
    config.seed = seed
    with _stage(1, f"rendering {sum(splits.values())} videos"):
        lists = render_dataset(workdir / "dataset", splits=splits, seed=seed)
    prepared = workdir / "prepared"
    with _stage(2, "preparing: every video is decoded once and packed into shards"):
        prepare_dataset(read_dataset("list", workdir / "dataset", {}), prepared, verify=True)
    config.data.train = config.data.validation = os.path.relpath(prepared)
    run = workdir / "run"
    with _stage(3, "training"):
        training = train(config, run)
    if not training.completed:
        return False
    trained = load_for_inference(run, mesh=meshes.data_mesh())
    with _stage(4, "evaluating on held-out videos, with two controls"):
        evaluations = _evaluate(trained, run, prepared)
    with _stage(5, "predicting one held-out video"):
        video = _predict_one(trained, lists["validation"])
    with _stage(6, "drawing what the model sees in it"):
        drawn = _draw(trained, video, workdir / VISUALIZATION_FOLDER)
    _print_table(run, training, evaluations, drawn)
    return True


@contextmanager
def _stage(number: int, what: str) -> Iterator[None]:
    print(f"[{number}/{_STAGES}] {what}", flush=True)
    start = time.perf_counter()
    yield
    print(f"[{number}/{_STAGES}] took {duration(time.perf_counter() - start)}", flush=True)


def _evaluate(trained: TrainedModel, run: pathlib.Path, data: pathlib.Path) -> dict[FrameOrder, Evaluation]:
    evaluations: dict[FrameOrder, Evaluation] = {}
    orders: tuple[FrameOrder, ...] = ("normal", *_CONTROLS)
    for order in orders:
        result = evaluate_checkpoint(trained, data, frame_order=order, workers=trained.config.data.workers)
        write_report(result, run / "evaluation" / order)
        print(f"  {order}: top-1 {100 * result.top1:.1f} %", flush=True)
        evaluations[order] = result
    return evaluations


def _predict_one(trained: TrainedModel, data: pathlib.Path) -> str:
    """Predicts the first video of a list, and returns its path."""
    videos = read_video_list(data, label_names=trained.label_names)
    (prediction,) = trained.predict(videos.paths[:1])
    print(f"  {os.path.relpath(prediction.path)}, which shows {videos.label_names[videos.labels[0]]}:")
    for name, probability in prediction.classes:
        print(f"  {100 * probability:5.1f} %  {for_terminal(name)}")
    return str(prediction.path)


def _draw(trained: TrainedModel, video: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the page of a video and the picture of its first map, and returns these two files."""
    visualization = visualize(trained, video)
    first = dataclasses.replace(visualization, maps=visualization.maps[:1], what=visualization.what[:1])
    folder.mkdir(parents=True, exist_ok=True)
    return [*write_files(visualization, folder, ["html"]), *write_files(first, folder, ["png"])]


def _print_table(
    run: pathlib.Path,
    training: TrainingResult,
    evaluations: Mapping[FrameOrder, Evaluation],
    drawn: Sequence[pathlib.Path],
) -> None:
    here = os.path.relpath(run)
    normal = evaluations["normal"]
    pace = "" if training.clips_per_second is None else f"{training.clips_per_second:.0f}"
    rows = [
        ("top-1 on held-out videos", f"{100 * normal.top1:.1f} %", f"{counted(normal.videos, 'video')}"),
        *((f"  {order}", f"{100 * evaluations[order].top1:.1f} %", why) for order, why in _CONTROLS.items()),
        ("  chance", f"{100 / len(normal.label_names):.1f} %", f"{counted(len(normal.label_names), 'class')}"),
        ("clips/s, training", pace, f"{counted(training.steps, 'step')}"),
        ("clips/s, evaluation", f"{normal.clips_per_second:.0f}", "decoding and compilation included"),
        ("checkpoint", "", f"{here}/{CHECKPOINTS_FOLDER}"),
        ("curves", "", f"{here}/{CURVES_FILE}"),
        ("confusion matrix", "", f"{here}/evaluation/normal/confusion.png"),
        ("what it sees", "", ", ".join(os.path.relpath(file) for file in drawn)),
        ("logs", "", f"{here}/{METRICS_FILE}, {here}/{TENSORBOARD_FOLDER}"),
    ]
    print()
    for name, value, remark in rows:
        print(f"{name:<26} {value:>8}  {remark}")
