"""`launch/local.sh` with a stand-in for `motion-vit`: what processes are told, and what happens when one ends."""

import os
import pathlib
import signal
import subprocess
import time

import pytest
from stand_ins import environment, write_command

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "local.sh"
PATIENCE_SECONDS = 30


def start(folder: pathlib.Path, processes: int, behaviour: str, **variables: str) -> subprocess.Popen[str]:
    """Starts the script with a `motion-vit` that says so in the folder and then does something."""
    command = write_command(folder, "motion-vit", f'cd "{folder}"\necho $$ >"pid$JAX_PROCESS_ID"\n{behaviour}')
    return subprocess.Popen(
        [SCRIPT, str(processes), "--config", "a recipe.py"],
        env=environment(folder, MOTION_VIT=str(command), **{"CPU_DEVICES": "2", "GRACE_SECONDS": "2", **variables}),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group, as in a terminal of its own
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status of the script and what it said."""
    said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    return process.returncode, said


def wait_for(condition: pathlib.Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_ended(folder: pathlib.Path) -> None:
    for path in folder.glob("pid*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_processes_are_told_of_each_other(tmp_path: pathlib.Path) -> None:
    behaviour = 'printf "%s\\n" "$@" "$XLA_FLAGS" "$JAX_COORDINATOR_ADDRESS $JAX_NUM_PROCESSES" >"told$JAX_PROCESS_ID"'
    status, said = finish(start(tmp_path, 3, behaviour))
    assert (status, said) == (0, "")
    told = [(tmp_path / f"told{number}").read_text().splitlines() for number in range(3)]
    assert told[0][:3] == ["train", "--config", "a recipe.py"]
    assert told[0][3].split() == ["--xla_force_host_platform_device_count=2"]
    assert told[0][4].startswith("127.0.0.1:")
    assert told[0][4].endswith(" 3")
    assert told[0] == told[1] == told[2]


def test_gpus_are_split_evenly(tmp_path: pathlib.Path) -> None:
    behaviour = 'echo "$JAX_LOCAL_DEVICE_IDS" >"gpus$JAX_PROCESS_ID"'
    status, _ = finish(start(tmp_path, 2, behaviour, CPU_DEVICES="", CUDA_VISIBLE_DEVICES="4,5,6,7"))
    assert status == 0
    # JAX counts from 0 among the visible ones.
    assert [(tmp_path / f"gpus{number}").read_text().strip() for number in range(2)] == ["0,1", "2,3"]


def test_gpus_that_cannot_be_split_evenly_are_refused(tmp_path: pathlib.Path) -> None:
    status, said = finish(start(tmp_path, 2, "", CPU_DEVICES="", CUDA_VISIBLE_DEVICES="0,1,2"))
    assert status == 2
    assert "3 GPUs cannot be split evenly among 2 processes" in said


@pytest.mark.parametrize("arguments", [[], ["--config", "recipe.py"], ["0"]])
def test_a_missing_number_of_processes_is_asked_for(arguments: list[str], tmp_path: pathlib.Path) -> None:
    result = subprocess.run([SCRIPT, *arguments], env=environment(tmp_path), capture_output=True, text=True)
    assert result.returncode == 2
    assert "give the number of processes first" in result.stderr


def test_a_missing_command_is_named(tmp_path: pathlib.Path) -> None:
    variables = environment(tmp_path, MOTION_VIT="no-such-command", CPU_DEVICES="1")
    result = subprocess.run([SCRIPT, "2"], env=variables, capture_output=True, text=True)
    assert result.returncode == 2
    assert "there is no command no-such-command" in result.stderr


def test_the_others_end_after_one_has_failed(tmp_path: pathlib.Path) -> None:
    behaviour = "if ((JAX_PROCESS_ID == 1)); then exit 3; fi; exec sleep 100"
    status, said = finish(start(tmp_path, 3, behaviour, GRACE_SECONDS="1"))
    assert status == 3
    assert "process 1 ended with status 3" in said
    assert_ended(tmp_path)


def test_the_others_may_say_what_they_lost_and_end_by_themselves(tmp_path: pathlib.Path) -> None:
    behaviour = 'if ((JAX_PROCESS_ID == 1)); then kill -KILL $$; fi; trap "touch asked" TERM; sleep 0.4; exit 1'
    status, said = finish(start(tmp_path, 2, behaviour, GRACE_SECONDS="20"))
    assert status == 128 + signal.SIGKILL
    assert "process 1 was ended by SIGKILL" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.slow
def test_processes_that_do_not_answer_are_ended_all_the_same(tmp_path: pathlib.Path) -> None:
    behaviour = 'if ((JAX_PROCESS_ID == 1)); then exit 1; fi; trap "" TERM; while true; do sleep 0.1; done'
    status, said = finish(start(tmp_path, 2, behaviour))
    assert status == 1
    assert "SIGKILL" in said
    assert_ended(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_every_process_once_and_waits_for_what_it_saves(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    # Ctrl-C goes to the whole group of the terminal; the second signal would end a training without saving.
    behaviour = """
    trap 'echo signal >>"signals$JAX_PROCESS_ID"; stop=yes' TERM INT
    touch "ready$JAX_PROCESS_ID"
    until [[ -n ${stop:-} ]]; do sleep 0.05; done
    for _ in {1..8}; do sleep 0.05; done
    touch "saved$JAX_PROCESS_ID"
    exit 75
    """
    process = start(tmp_path, 2, behaviour)
    for ready in ("ready0", "ready1"):
        wait_for(tmp_path / ready)
    os.killpg(process.pid, number)
    status, said = finish(process)
    assert status == 75
    assert "the same command continues" in said
    for each in range(2):
        assert (tmp_path / f"saved{each}").exists()
        assert (tmp_path / f"signals{each}").read_text().split() == ["signal"]


@pytest.mark.slow
def test_a_second_stop_ends_processes_that_do_not_heed_the_first(tmp_path: pathlib.Path) -> None:
    # As several processes of JAX do, which only note a SIGTERM. A second one of the same moment is none.
    behaviour = """
    trap 'touch "told$JAX_PROCESS_ID"' TERM
    touch "ready$JAX_PROCESS_ID"
    while true; do sleep 0.05; done
    """
    process = start(tmp_path, 2, behaviour, GRACE_SECONDS="100")
    for ready in ("ready0", "ready1"):
        wait_for(tmp_path / ready)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    for told in ("told0", "told1"):
        wait_for(tmp_path / told)
    time.sleep(2.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    status, said = finish(process)
    assert status == 75
    assert "the same command continues" in said
    assert_ended(tmp_path)


def test_an_error_while_stopping_is_not_taken_for_a_stop(tmp_path: pathlib.Path) -> None:
    behaviour = """
    trap 'exit $((JAX_PROCESS_ID == 0 ? 75 : 4))' TERM
    touch "ready$JAX_PROCESS_ID"
    while true; do sleep 0.05; done
    """
    process = start(tmp_path, 2, behaviour)
    for ready in ("ready0", "ready1"):
        wait_for(tmp_path / ready)
    process.send_signal(signal.SIGTERM)
    status, said = finish(process)
    assert status == 4
    assert "process 1 ended with status 4" in said
