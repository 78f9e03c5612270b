"""`launch/local.sh` with the real `motion-vit train`, on a recipe whose model compiles in a second."""

import pathlib
import signal
import subprocess
import sys
import time

import jax
import pytest
from stand_ins import environment

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.training.logs.writers import read_json_lines
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.file import load_config

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "local.sh"
STEPS = 60
PATIENCE_SECONDS = 240

RECIPE = """
import flax.linen as nn

from motion_vit.models.registry import register_model
from motion_vit.models.video_model import Backbone
from motion_vit.training.recipe.config import default_config


class Linear(Backbone):
    @nn.compact
    def __call__(self, clips, train=False):
        return nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2)).reshape(clips.shape[0], -1))


register_model("linear", Linear)


def get_config():
    config = default_config()
    config.model.name = "linear"
    config.data.train = "TRAIN"
    config.data.frames = 4
    config.data.size = 16
    config.data.threads = 1
    config.batch_size = 8
    config.epochs = EPOCHS
    config.optimizer.warmup_epochs = 0
    config.optimizer.learning_rate = 1e-2
    config.log.every_steps = 1
    config.checkpoint.every_steps = 1000
    return config
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A recipe of 60 steps of 8 clips."""
    folder = tmp_path_factory.mktemp("recipe")
    splits = {"train": 16, "validation": 1}
    lists = render_dataset(folder / "videos", splits=splits, size=16, frames=(4, 6), workers=1, progress=False)
    path = folder / "recipe.py"
    path.write_text(RECIPE.replace("TRAIN", str(lists["train"])).replace("EPOCHS", str(STEPS * 8 / splits["train"])))
    return path


def start(processes: int, devices: int, recipe: pathlib.Path, workdir: pathlib.Path) -> subprocess.Popen[str]:
    """Starts the script with so many processes of so many devices each."""
    command = str(pathlib.Path(sys.executable).with_name("motion-vit"))
    cache = str(recipe.parent / "jax")
    return subprocess.Popen(
        [SCRIPT, str(processes), "--config", recipe, "--workdir", workdir],
        env=environment(workdir, MOTION_VIT=command, CPU_DEVICES=str(devices), JAX_COMPILATION_CACHE_DIR=cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def losses(workdir: pathlib.Path) -> dict[int, float]:
    """The loss of every step."""
    records = read_json_lines(workdir / "metrics.jsonl")
    return {int(record["step"]): float(record["loss"]) for record in records if record["split"] == "train"}


@pytest.mark.slow
def test_a_run_of_two_processes_that_was_stopped_goes_on_in_one(recipe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "several"
    with start(2, 2, recipe, workdir) as two:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (workdir / "metrics.jsonl").exists() or not losses(workdir):
            assert two.poll() is None, two.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        two.send_signal(signal.SIGTERM)
        said = two.communicate(timeout=PATIENCE_SECONDS)[0]
    assert two.returncode == 75, said
    # Process 0 alone speaks.
    assert said.count("stopped after step") == 1
    assert max(losses(workdir)) < STEPS

    with start(1, 4, recipe, workdir) as one:
        said = one.communicate(timeout=PATIENCE_SECONDS)[0]
    assert one.returncode == 0, said
    assert said.count(f"finished: {STEPS} steps") == 1

    # The same as one process on as many devices, all in one go.
    with jax.numpy_dtype_promotion("standard"):
        train(load_config(str(recipe)), tmp_path / "one", devices=jax.devices()[:4])
    assert len(losses(workdir)) == STEPS
    assert losses(workdir) == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
