"""`launch/slurm.sbatch` with stand-ins for `srun` and `scontrol`: after which end the job is started again."""

import pathlib
import re
import signal
import subprocess
import time

import pytest
from stand_ins import environment, write_command

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "slurm.sbatch"


def prepare(folder: pathlib.Path, srun: str) -> dict[str, str]:
    """A folder with a checkpoint of step 5, and the environment of a job in it."""
    (folder / "run" / "checkpoints" / "5").mkdir(parents=True)
    (folder / "run" / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    commands = folder / "commands"
    write_command(commands, "srun", f'printf "%s\\n" "$@" >arguments\n{srun}')
    write_command(commands, "scontrol", 'echo "$@" >requeued')
    return environment(commands, SLURM_CPUS_PER_TASK="3", SLURM_JOB_ID="42", WORKDIR="run", CONFIG="recipe.py")


def run(folder: pathlib.Path, srun: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], bool]:
    """The script's end, and whether it had the job started again."""
    variables = {**prepare(folder, srun), **variables}
    result = subprocess.run(["bash", SCRIPT], cwd=folder, env=variables, capture_output=True, text=True)
    return result, (folder / "requeued").exists()


def test_tasks_are_started_with_the_recipe(tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path, "")
    assert (result.returncode, requeued) == (0, False)
    arguments = (tmp_path / "arguments").read_text().split()
    start = arguments.index("motion-vit")
    assert arguments[start : start + 6] == ["motion-vit", "train", "--config", "recipe.py", "--workdir", "run"]
    # One task that ends must not end those that are still saving.
    assert "--kill-on-bad-exit=0" in arguments[:start]


@pytest.mark.parametrize("status", [75, 1, 137])
def test_a_run_that_came_further_is_started_again(status: int, tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path, f"mkdir run/checkpoints/12\nexit {status}")
    assert (result.returncode, requeued) == (0, True)
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "42"]


@pytest.mark.parametrize("status", [1, 134])
def test_an_error_that_came_no_further_is_not_started_again(status: int, tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path, f"mkdir run/checkpoints/12.orbax-checkpoint-tmp\nexit {status}")
    assert (result.returncode, requeued) == (status, False)
    assert "no checkpoint newer than '5'" in result.stdout


@pytest.mark.parametrize("checkpoints", ["", "rmdir run/checkpoints/*"])
def test_a_run_that_was_stopped_before_it_could_save_is_started_again(checkpoints: str, tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path, f"{checkpoints}\nexit 75", SLURM_RESTART_COUNT="3")
    assert (result.returncode, requeued) == (0, True)


def test_stops_without_progress_end_some_time_and_those_with_progress_do_not(tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path / "none", "exit 75", SLURM_RESTART_COUNT="20")
    assert (result.returncode, requeued) == (75, False)
    assert "no checkpoint newer than '5'" in result.stdout
    result, requeued = run(tmp_path / "some", "mkdir run/checkpoints/12\nexit 75", SLURM_RESTART_COUNT="20")
    assert (result.returncode, requeued) == (0, True)


def test_a_mistake_of_the_user_is_not_tried_again(tmp_path: pathlib.Path) -> None:
    result, requeued = run(tmp_path, "mkdir run/checkpoints/12\nexit 2")
    assert (result.returncode, requeued) == (2, False)


def test_a_cancelled_job_waits_for_its_tasks_and_stays_cancelled(tmp_path: pathlib.Path) -> None:
    variables = prepare(tmp_path, "touch running\nsleep 1\nmkdir run/checkpoints/12\nexit 75")
    process = subprocess.Popen(["bash", SCRIPT], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "running").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 75
    assert "told to end" in said
    assert (tmp_path / "run" / "checkpoints" / "12").exists()
    assert not (tmp_path / "requeued").exists()


def test_slurm_gives_every_gpu_a_task_and_the_tasks_time_to_save() -> None:
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE))
    assert options["gres"] == f"gpu:{options['ntasks-per-node']}"
    name, seconds = options["signal"].split("@")
    assert name == "TERM"  # without "B:", which would send it to the script instead of the tasks
    assert int(seconds) >= 120
