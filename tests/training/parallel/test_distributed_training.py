"""Real processes: two of four virtual CPU devices each, which talk over the network as those of two machines do."""

import pathlib
import re
import shutil
import signal

import jax
import numpy as np
import pytest
import training_processes
from flax import traverse_util

from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.file import load_config

SPLIT = {"mesh.fsdp": 2}
STEPS = 45
# What Gloo itself says of its ranks. Several of its threads write at once, piece by piece, so that lines may be mixed
# and numbers stand alone.
GLOO_PIECES = re.compile(
    r"\[Gloo\] Rank |\d+| is connected to | peer ranks\. |Expected number of connected peer ranks is : |\s"
)


@pytest.fixture(scope="module")
def data(
    lists: dict[str, pathlib.Path], list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path]
) -> dict[str, object]:
    """The fields of every run here: data with a video that cannot be decoded, 45 steps, validation after each 15."""
    return {
        "data.train": list_with_a_broken_video[0],
        "data.validation": lists["validation"],
        "data.max_undecodable": 0.1,
        "epochs": STEPS / 3,
        "checkpoint.every_steps": 10,
        "evaluation.every_epochs": 5.0,
    }


@pytest.fixture(scope="module")
def undisturbed(data: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a run of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("two") / "run"
    assert training_processes.end(training_processes.start(2, folder, data | SPLIT)) == [0, 0]
    return folder


def train_here(folder: pathlib.Path, fields: dict[str, object], max_steps: int | None = None) -> None:
    """The run in this process, on its eight devices; all of it or its first steps."""
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    with jax.numpy_rank_promotion("allow"):
        train(load_config(str(training_processes.RECIPE), overrides), folder, max_steps=max_steps)


def values_of(folder: pathlib.Path, split: str, name: str) -> dict[int, float]:
    """A metric by step."""
    records = [record for record in read_json_lines(folder / METRICS_FILE) if record["split"] == split]
    return {int(record["step"]): float(record[name]) for record in records}


def assert_same_losses(folder: pathlib.Path, reference: pathlib.Path, steps: int) -> None:
    losses, expected = (values_of(run, "train", "loss") for run in (folder, reference))
    assert list(losses) == list(expected)[:steps]
    for step in range(1, steps + 1):
        np.testing.assert_allclose(losses[step], expected[step], rtol=1e-5, err_msg=str(step))


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one_does(
    data: dict[str, object], undisturbed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train_here(tmp_path, data, max_steps=20)
    assert_same_losses(tmp_path, undisturbed, steps=20)
    with jax.numpy_rank_promotion("allow"):
        here = evaluate_checkpoint(undisturbed, str(data["data.validation"]))
    for name, accuracy in (("top1", here.top1), ("top5", here.top5)):
        assert values_of(undisturbed, "validation", name)[here.step] == accuracy


@pytest.mark.slow
def test_one_process_speaks_for_all(
    undisturbed: pathlib.Path, list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path]
) -> None:
    output, other = (training_processes.text_of(undisturbed, name) for name in ("output0", "output1"))
    assert "on 8 x cpu of 2 processes" in output
    assert output.count(f"finished: {STEPS} steps") == 1
    # Whichever of them was to read the video.
    assert output.count(f"does not count: {list_with_a_broken_video[1]}") == 1
    assert GLOO_PIECES.sub("", other) == ""
    assert values_of(undisturbed, "train", "undecodable")[STEPS] == 1


@pytest.mark.slow
def test_stopped_and_killed_runs_end_as_the_undisturbed_one(
    data: dict[str, object], undisturbed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    environment = {training_processes.HEARTBEAT: "10"}

    processes = training_processes.start(2, run, data | SPLIT, environment)
    training_processes.wait_for_step(run, 6)
    processes[1].send_signal(signal.SIGTERM)
    assert training_processes.end(processes) == [75, 75]
    stopped = training_processes.text_of(run, "output0").splitlines()[-1]
    assert stopped.endswith("saved. The same command continues.")
    step = load_for_inference(run).step
    assert f"stopped after step {step};" in stopped
    shutil.copytree(run, elsewhere)

    processes = training_processes.start(2, run, data | SPLIT, environment)
    training_processes.wait_for_step(run, step + 6)
    processes[1].kill()
    statuses = training_processes.end(processes, seconds=60)
    assert statuses[0] not in (0, 75)
    words = training_processes.text_of(run, "errors0")
    assert "another process of this run has ended or cannot be reached" in words
    promised = re.search(r"continues from step (\d+) or later\.", words)
    # A save that was under way may have ended since.
    assert promised
    assert step <= int(promised[1]) <= load_for_inference(run).step

    assert training_processes.end(training_processes.start(2, run, data | SPLIT)) == [0, 0]
    for ema in (False, True):
        found, expected = (
            traverse_util.flatten_dict(jax.device_get(load_for_inference(folder, ema=ema).variables), sep="/")
            for folder in (run, undisturbed)
        )
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)

    # The rest of the stopped run in one process, on another mesh, sees the same examples with the same parameters.
    train_here(elsewhere, data | {"mesh.data": 2, "mesh.fsdp": 4})
    assert_same_losses(elsewhere, undisturbed, steps=STEPS)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_and_the_save_under_way(
    data: dict[str, object], tmp_path: pathlib.Path
) -> None:
    fields = data | {
        "optimizer.learning_rate": 1000.0,
        "optimizer.weight_decay": 1e6,
        "optimizer.clip_norm": 0.0,
        "checkpoint.every_steps": 1,
    }
    assert training_processes.end(training_processes.start(2, tmp_path / "run", fields), seconds=90) == [2, 2]
    assert "last good checkpoint is that of step" in training_processes.text_of(tmp_path / "run", "errors0")
    assert "Traceback" not in training_processes.text_of(tmp_path / "run", "errors0")
    assert not list((tmp_path / "run" / "checkpoints").glob("*tmp*"))
    load_for_inference(tmp_path / "run")


@pytest.mark.slow
def test_a_mistake_of_one_process_ends_all_with_its_message(data: dict[str, object], tmp_path: pathlib.Path) -> None:
    fields = data | {"data.train": f"{tmp_path}/absent{{process}}.csv"}
    shutil.copy(str(data["data.train"]), tmp_path / "absent0.csv")
    assert training_processes.end(training_processes.start(2, tmp_path / "run", fields)) == [2, 2]
    message = training_processes.text_of(tmp_path / "run", "errors0")
    assert message.startswith("motion-vit: process 1: ")
    assert "absent1.csv" in message
    assert training_processes.text_of(tmp_path / "run", "errors1") == ""
