"""`launch/tpu_vm.sh` with a stand-in for `gcloud`: what it does in which state of the slice, and after which status."""

import pathlib
import subprocess
import threading
import time

import pytest
from stand_ins import HOSTILE_NAMES, environment, write_command

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "tpu_vm.sh"

# A slice of one worker, whose home is a folder of the test, with a `motion-vit` that is not the real one.
WORKER = """
case "$*" in
  *"queued-resources describe"*) echo ACTIVE ;;
  *"uv venv"*) ;;
  *--command=*)
    for argument in "$@"; do command=$argument; done
    cd "$WORKER_HOME" && bash -c "${command#--command=}" ;;
esac
"""

# Answers with the next line of a file; with the last one again when there are no more.
GCLOUD = """
cd "$ANSWERS"
echo "$*" | tr '\\n' ' ' >>calls; echo >>calls
next() {
  head -n 1 "$1"
  if (($(wc -l <"$1") > 1)); then sed -i 1d "$1"; fi
}
case "$*" in
  *"value(state)"*) echo "failedData=no quota" ;;
  *"queued-resources describe"*)
    state=$(next states)
    if [[ $state == MISSING ]]; then echo "NOT_FOUND" >&2; exit 1; fi
    if [[ $state == UNKNOWN ]]; then echo "no network" >&2; exit 1; fi
    echo "$state" ;;
  *"queued-resources create"* | *"queued-resources delete"*)
    if [[ $(next refusals) == yes ]]; then exit 1; fi ;;
  *"motion-vit train"*) next statuses | tr ' ' '\\n' | sed 's/^/worker status /' ;;
  */checkpoints*) next steps ;;
esac
"""


def run(
    folder: pathlib.Path,
    states: list[str],
    statuses: list[str],
    steps: list[str] | None = None,
    refusals: list[str] | None = None,
    most_failures: int = 5,
) -> tuple[int, list[str], str]:
    """Runs the script against a cloud that gives these answers.

    Args:
      folder: where the answers are kept.
      states: of the queued resource, one for each time that it is asked for.
      statuses: of the workers of each start, separated by spaces.
      steps: what the checkpoints folder holds each time.
      refusals: "yes" for each creation or deletion that fails.
      most_failures: of one kind after one another, with which the script ends.

    Returns:
      Exit status, calls of gcloud, and what the script said.
    """
    answers = {"states": states, "statuses": statuses, "steps": steps or [""], "refusals": refusals or [""]}
    for name, lines in answers.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    write_command(folder / "commands", "gcloud", GCLOUD)
    write_command(folder / "commands", "git", "")
    variables = environment(
        folder / "commands",
        **{"ANSWERS": str(folder), "POLL_SECONDS": "0", "BUCKET": "a-bucket", "ZONE": "a-zone"},
        MOST_FAILURES=str(most_failures),
    )
    result = subprocess.run([SCRIPT, "run"], env=variables, capture_output=True, text=True, timeout=60)
    return result.returncode, (folder / "calls").read_text().splitlines(), result.stderr


def count(calls: list[str], words: str) -> int:
    return sum(words in call for call in calls)


def test_a_slice_is_asked_for_and_the_run_done_on_all_of_its_workers(tmp_path: pathlib.Path) -> None:
    status, calls, _ = run(tmp_path, ["MISSING", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"], ["0 0 0 0"])
    assert status == 0
    (created,) = [call for call in calls if "queued-resources create" in call]
    assert "--spot" in created
    assert "--zone=a-zone" in created
    (trained,) = [call for call in calls if "motion-vit train" in call]
    assert "--worker=all" in trained
    assert "--workdir '/mnt/bucket/" in trained
    # Without the bucket, which the installation mounts, there would seem to be no checkpoint.
    (asked, installed) = (next(i for i, call in enumerate(calls) if w in call) for w in ("/checkpoints", "uv venv"))
    assert installed < asked


def test_a_slice_that_was_taken_away_is_replaced(tmp_path: pathlib.Path) -> None:
    states = ["ACTIVE", "SUSPENDING", "SUSPENDING", "SUSPENDED", "MISSING", "ACTIVE"]
    status, calls, _ = run(tmp_path, states, ["", "0 0"])
    assert status == 0
    assert count(calls, "queued-resources delete") == count(calls, "queued-resources create") == 1
    assert count(calls, "motion-vit train") == 2


def test_a_creation_and_a_deletion_that_fail_once_are_tried_again(tmp_path: pathlib.Path) -> None:
    states = ["SUSPENDED", "SUSPENDED", "MISSING", "MISSING", "ACTIVE"]
    status, calls, _ = run(tmp_path, states, ["0"], refusals=["yes", "", "yes", ""])
    assert status == 0
    assert count(calls, "queued-resources delete") == count(calls, "queued-resources create") == 2


def test_a_cloud_that_always_refuses_ends_the_script(tmp_path: pathlib.Path) -> None:
    status, calls, _ = run(tmp_path, ["MISSING"], ["0"], refusals=["yes"])
    assert status == 1
    assert count(calls, "queued-resources create") == 5
    assert count(calls, "motion-vit train") == 0


def test_slices_that_fail_end_the_script_with_the_reason(tmp_path: pathlib.Path) -> None:
    status, calls, said = run(tmp_path, ["MISSING", "FAILED"] * 9, ["0"])
    assert status == 1
    assert count(calls, "queued-resources delete") == 5
    assert "no quota" in said


def test_errors_are_tried_again_as_long_as_the_run_comes_further(tmp_path: pathlib.Path) -> None:
    steps = ["", "1", "1", "2", "2", "3", "3"]
    status, calls, _ = run(tmp_path, ["ACTIVE"], ["1"] * 3 + ["0"], steps, most_failures=2)
    assert status == 0
    assert count(calls, "motion-vit train") == 4


@pytest.mark.fast_cases("statuses0-134")
@pytest.mark.parametrize(("statuses", "expected"), [(["0 134 1"], 134), ([""], 255)])
def test_errors_without_progress_end_the_script(statuses: list[str], expected: int, tmp_path: pathlib.Path) -> None:
    status, calls, said = run(tmp_path, ["ACTIVE"], statuses, ["7"], most_failures=2)
    assert status == expected
    assert count(calls, "motion-vit train") == 2
    assert "no checkpoint newer than 7" in said


def test_a_worker_that_does_not_say_its_checkpoint_has_made_no_progress(tmp_path: pathlib.Path) -> None:
    status, calls, _ = run(tmp_path, ["ACTIVE"], ["1"], ["7", ""] * 9, most_failures=2)
    assert status == 1
    assert count(calls, "motion-vit train") == 2


@pytest.mark.parametrize(("statuses", "expected"), [("75 75", 75), ("75 0", 75), ("1 2 75", 2)])
def test_a_stop_and_a_mistake_of_the_user_are_not_tried_again(
    statuses: str, expected: int, tmp_path: pathlib.Path
) -> None:
    status, calls, _ = run(tmp_path, ["ACTIVE"], [statuses])
    assert status == expected
    assert count(calls, "motion-vit train") == 1


def test_a_cloud_that_does_not_answer_is_asked_again(tmp_path: pathlib.Path) -> None:
    status, calls, said = run(tmp_path, ["UNKNOWN", "UNKNOWN", "ACTIVE"], ["0"])
    assert status == 0
    assert "no network" in said
    assert count(calls, "queued-resources create") == 0


@pytest.fixture
def worker(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment of the script beside a slice of one worker."""
    write_command(tmp_path / "commands", "gcloud", WORKER)
    write_command(tmp_path / "commands", "git", "")
    return environment(
        tmp_path / "commands", WORKER_HOME=str(tmp_path / "home"), POLL_SECONDS="0", MOST_FAILURES="1", OVERRIDES="a b"
    )


def install(folder: pathlib.Path, lines: str) -> None:
    write_command(folder / "home" / "motion_vit" / ".venv" / "bin", "motion-vit", lines)


@pytest.mark.parametrize("ended", [0, 2, 134])
def test_the_status_of_a_worker_comes_back(ended: int, worker: dict[str, str], tmp_path: pathlib.Path) -> None:
    install(tmp_path, f'echo "$@"\nexit {ended}')
    assert subprocess.run([SCRIPT, "run"], env=worker, capture_output=True).returncode == ended
    written = (tmp_path / "home" / "motion_vit" / "train.log").read_text().split()
    assert written[:2] == ["train", "--config"]
    assert written[-2:] == ["a", "b"]


def test_a_machine_that_shuts_down_is_not_taken_for_a_wish_to_stop(
    worker: dict[str, str], tmp_path: pathlib.Path
) -> None:
    install(tmp_path, "exit 75")
    assert subprocess.run([SCRIPT, "run"], env=worker, capture_output=True).returncode == 255


def test_the_command_stop_makes_the_run_save_and_end(worker: dict[str, str], tmp_path: pathlib.Path) -> None:
    install(tmp_path, "trap 'touch saved; exit 75' TERM\ntouch running\nwhile true; do sleep 0.05; done")
    process = subprocess.Popen([SCRIPT, "run"], env=worker, stderr=subprocess.DEVNULL)
    folder = tmp_path / "home" / "motion_vit"
    while not ((folder / "running").exists() and (folder / "train.pid").exists()):
        time.sleep(0.02)
    subprocess.run([SCRIPT, "stop"], env=worker, check=True)
    assert process.wait(timeout=30) == 75
    assert (folder / "saved").exists()


def test_a_run_whose_connection_was_lost_is_waited_for(worker: dict[str, str], tmp_path: pathlib.Path) -> None:
    install(tmp_path, "echo again >>starts")
    folder = tmp_path / "home" / "motion_vit"
    running = subprocess.Popen(["bash", "-c", "sleep 1; true motion-vit train"])
    reaper = threading.Thread(target=running.wait)  # or it would stay as a zombie, which counts as a process
    reaper.start()
    (folder / "train.pid").write_text(str(running.pid))
    # One that was joined says nothing of how it ended; the next start does.
    variables = {**worker, "MOST_FAILURES": "2"}
    result = subprocess.run([SCRIPT, "run"], env=variables, capture_output=True, timeout=60)
    reaper.join()
    assert result.returncode == 0
    assert (folder / "starts").read_text().split() == ["again"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_reach_the_worker_as_they_are(name: str, worker: dict[str, str], tmp_path: pathlib.Path) -> None:
    install(tmp_path, 'printf "%s\\n" "$@"')
    variables = worker | {"CONFIG": name, "WORKDIR": name, "OVERRIDES": ""}
    assert subprocess.run([SCRIPT, "run"], env=variables, capture_output=True).returncode == 0
    written = (tmp_path / "home" / "motion_vit" / "train.log").read_text().splitlines()
    assert written == ["train", "--config", name, "--workdir", f"/mnt/bucket/{name}"]
    assert not (tmp_path / "home" / "motion_vit" / "owned").exists()
