"""Kills a small training again and again, and compares where it ends with a run that was left alone.

    python tests/chaos.py [--kills 20] [--processes 1] [--seed 0] [--workdir DIR]

SIGKILL and SIGTERM, at moments drawn from the seed: while the run starts and restores, between steps, during saves.
After every kill each checkpoint on disk is read back whole. At the end parameters, averages, running statistics,
optimizer, random key and place in the data must be those of the undisturbed run, bit for bit, and every step logged
once, with the same loss. Exit status 0 if so. Takes about ten seconds a kill.
"""

import argparse
import collections
import dataclasses
import functools
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import chex
import jax
import training_processes

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.training.checkpoints.run_checkpoints import CHECKPOINTS_FOLDER, Checkpoints, Restored
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.file import load_config
from motion_vit.training.step.program import build_program
from motion_vit.training.step.state import TrainState

# Of the kills, this share comes at any time after the start; the others shortly after a step that is drawn.
_AT_ANY_TIME = 0.3
_STARTING_SECONDS = 12.0
_STEPS_OF_A_LIFE = 8
_CLASSES = 10
# About as long as a step and the save after it take.
_SAVING_SECONDS = 0.3


def chaos(workdir: pathlib.Path, fields: dict[str, object], kills: int, seed: int, processes: int = 1) -> str:
    """Does it.

    Args:
      workdir: folder for the two runs.
      fields: fields of the small recipe: the data.
      kills: how often.
      seed: of the moments and signals.
      processes: that train together; one of them, drawn, gets the signal.

    Returns:
      What happened, in a line.

    Raises:
      AssertionError: a checkpoint cannot be read, a process ends with the wrong status, or the runs differ.
    """
    draw = random.Random(seed)
    # Saves every other step; more steps than the lives of the run can take in all.
    schedule = {
        "epochs": kills * _STEPS_OF_A_LIFE / 3 + 5,
        "checkpoint.every_steps": 2,
        "evaluation.every_epochs": 10.0,
    }
    fields = fields | schedule
    undisturbed, run = workdir / "undisturbed", workdir / "run"
    statuses = training_processes.end(training_processes.start(processes, undisturbed, fields))
    assert statuses == [0] * processes, f"the undisturbed run ended with {statuses}"
    counts: collections.Counter[str] = collections.Counter()
    read = 0
    for number in range(kills):
        kind = draw.choice([signal.SIGKILL, signal.SIGTERM])
        moment = _live_and_die(run, fields, processes, draw, kind)
        counts[f"{kind.name} {moment}"] += 1
        found = len(read_all(run))
        read += found
        print(f"kill {number + 1}: {kind.name} {moment}; {found} checkpoints, latest {latest_step(run)}", flush=True)
    statuses = training_processes.end(training_processes.start(processes, run, fields))
    assert statuses == [0] * processes, f"the last life of the run ended with {statuses}"
    _compare(run, undisturbed)
    listed = ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))
    return (
        f"{kills} kills ({listed}); {read} checkpoints read back, 0 unreadable; the end is that of the undisturbed run"
    )


def _live_and_die(
    run: pathlib.Path, fields: dict[str, object], processes: int, draw: random.Random, kind: signal.Signals
) -> str:
    """Starts the run and kills it; returns when."""
    environment = {training_processes.HEARTBEAT: "10"}
    before = latest_step(run)
    printed = len(training_processes.text_of(run, "output0")) if before else 0
    started = training_processes.start(processes, run, fields, environment)
    victim = started[draw.randrange(processes)]
    if draw.random() < _AT_ANY_TIME:
        seconds = draw.uniform(0, _STARTING_SECONDS)
        moment = "at any time"
        time.sleep(seconds)
    else:
        moment = "after a step"
        training_processes.wait_for_step(run, (before or 0) + draw.randint(1, _STEPS_OF_A_LIFE - 2), printed)
        time.sleep(draw.uniform(0, _SAVING_SECONDS))
    victim.send_signal(kind)
    # One that is killed before the others have met it is waited for: five minutes, by JAX.
    statuses = training_processes.end(started, seconds=120 if processes == 1 else 420)
    # Before the run has taken over SIGTERM it ends as every program does.
    stopped = {75, -signal.SIGTERM}
    expected = {-signal.SIGKILL} if kind is signal.SIGKILL else stopped
    assert victim.returncode in expected, f"{kind.name} {moment}: ended with {statuses}"
    return moment


def latest_step(run: pathlib.Path) -> int | None:
    """The latest checkpoint's step, None if there is none."""
    steps = [int(path.name) for path in (run / CHECKPOINTS_FOLDER).glob("*") if path.name.isdecimal()]
    return max(steps, default=None)


def read_all(run: pathlib.Path) -> dict[int, Restored]:
    """Reads every checkpoint of a run, all that is in it, onto one device.

    Args:
      run: workdir of the run, which is left as it is: opening checkpoints cleans up after a killed run.

    Returns:
      Step to content.
    """
    if not (run / CHECKPOINTS_FOLDER).is_dir():
        return {}
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(run / CHECKPOINTS_FOLDER, pathlib.Path(copy) / CHECKPOINTS_FOLDER)
        with Checkpoints(pathlib.Path(copy), keep=99) as checkpoints:
            return {step: checkpoints.restore(_template(), step) for step in checkpoints.saved_steps()}


@functools.cache
def _template() -> TrainState:
    mesh = meshes.data_mesh(jax.devices()[:1])
    config = load_config(str(training_processes.RECIPE))
    return build_program(config, mesh, clips_of_class=[1] * _CLASSES, total_steps=1, steps_per_epoch=1).abstract_state()


def _compare(run: pathlib.Path, undisturbed: pathlib.Path) -> None:
    found, expected = (read_all(folder)[latest_step(folder) or 0] for folder in (run, undisturbed))
    assert found.data_state == expected.data_state
    states = [dataclasses.replace(one.state, key=jax.random.key_data(one.state.key)) for one in (found, expected)]
    chex.assert_trees_all_equal(*states)
    losses, expected_losses = (
        [(record["step"], record["loss"]) for record in read_json_lines(folder / METRICS_FILE) if "loss" in record]
        for folder in (run, undisturbed)
    )
    assert losses == expected_losses, "the logged losses differ"


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=pathlib.Path, default=None, help="kept; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workdir = options.workdir or pathlib.Path(temporary)
        workdir.mkdir(parents=True, exist_ok=True)
        splits = {"train": 24, "validation": 10}
        lists = render_dataset(workdir / "videos", splits=splits, size=32, frames=(6, 8), workers=1, progress=False)
        fields: dict[str, object] = {"data.train": lists["train"], "data.validation": lists["validation"]}
        start = time.perf_counter()
        print(chaos(workdir, fields, options.kills, options.seed, options.processes))
        print(f"took {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
