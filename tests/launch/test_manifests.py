"""What Kubernetes, SkyPilot and xpk are told: the fields that they demand, and those that make a run survive."""

import math
import pathlib
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml
from stand_ins import HOSTILE_NAMES, environment, write_command

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((LAUNCH / name).read_text(encoding="utf-8"))
    return document


def jobset_job() -> tuple[dict[str, Any], dict[str, Any]]:
    """The specification of the JobSet's only kind of job, and that of its pods."""
    (replicated,) = read("gke_jobset.yaml")["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    return job, job["template"]["spec"]


def test_a_jobset_of_one_pod_for_each_host_of_the_slice() -> None:
    document = read("gke_jobset.yaml")
    assert (document["apiVersion"], document["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    job, pod = jobset_job()
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = math.prod(int(side) for side in topology.split("x"))
    (container,) = pod["containers"]
    hosts = chips // container["resources"]["limits"]["google.com/tpu"]
    assert job["parallelism"] == job["completions"] == hosts
    assert job["completionMode"] == "Indexed"
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == "tpu-v6e-slice"


def test_the_pods_train() -> None:
    _, pod = jobset_job()
    (container,) = pod["containers"]
    assert container["command"][:2] == ["motion-vit", "train"]
    (workdir,) = [part for part in container["command"] if part.startswith("--workdir=")]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert workdir.removeprefix("--workdir=").startswith(mounts["bucket"] + "/")


def test_pods_that_were_stopped_start_again_and_a_mistake_of_the_user_does_not() -> None:
    job, pod = jobset_job()
    # Kubernetes demands this of pods with a podFailurePolicy; and one failed pod ends the job, which JobSet restarts.
    assert (pod["restartPolicy"], job["backoffLimit"]) == ("Never", 0)
    exits, disruption = job["podFailurePolicy"]["rules"]
    assert {2, 75} <= set(exits["onExitCodes"]["values"])
    assert exits["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert disruption["onPodConditions"][0]["type"] == "DisruptionTarget"
    policy = read("gke_jobset.yaml")["spec"]["failurePolicy"]
    # As Kubernetes words it.
    message = "Container train for pod default/p-0 failed with exit code {} matching FailJob rule at index 0"
    actions = {}
    for status in (2, 75):
        matching = (
            rule["action"]
            for rule in policy["rules"]
            if all(
                re.search(pattern, message.format(status)) for pattern in rule.get("onJobFailureMessagePatterns", [])
            )
        )
        actions[status] = next(matching)
    assert actions == {2: "FailJobSet", 75: "RestartJobSetAndIgnoreMaxRestarts"}
    assert policy["maxRestarts"] > 0
    # Process 1 would never see a SIGTERM that comes before its handler.
    assert pod["shareProcessNamespace"] is True


def test_skypilot_recovers_a_stopped_run_and_gives_up_on_errors() -> None:
    resources = read("sky.yaml")["resources"]
    assert resources["use_spot"] is True
    assert resources["job_recovery"]["recover_on_exit_codes"] == [75]
    assert 0 < resources["job_recovery"]["max_restarts_on_errors"] < 10


def test_skypilot_starts_one_process_on_each_node(tmp_path: pathlib.Path) -> None:
    document = read("sky.yaml")
    told = '"$JAX_COORDINATOR_ADDRESS" "$JAX_NUM_PROCESSES" "$JAX_PROCESS_ID"'
    write_command(tmp_path / ".venv" / "bin", "motion-vit", f'printf "%s\\n" {told} "$@"')
    variables = environment(
        tmp_path,
        SKYPILOT_NODE_IPS="10.0.0.5\n10.0.0.6",
        SKYPILOT_NUM_NODES="2",
        SKYPILOT_NODE_RANK="1",
        **document["envs"],
    )
    command = ["bash", "-c", document["run"]]
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    address, count, number, *arguments = result.stdout.splitlines()
    assert address.startswith("10.0.0.5:")
    assert (count, number) == ("2", "1")
    assert arguments[:3] == ["train", "--config", document["envs"]["CONFIG"]]
    (mount,) = document["file_mounts"]
    assert arguments[arguments.index("--workdir") + 1].startswith(mount + "/")


def test_xpk_is_given_the_training_and_the_statuses_to_start_again_after(tmp_path: pathlib.Path) -> None:
    write_command(tmp_path, "xpk", 'printf "%s\\n" "$@"')
    variables = environment(tmp_path, WORKLOAD="mine", CONFIG="recipe.py", WORKDIR="/bucket/run", OVERRIDES="")
    result = subprocess.run([LAUNCH / "xpk.sh"], env=variables, capture_output=True, text=True, check=True)
    arguments = result.stdout.splitlines()
    assert arguments[:2] == ["workload", "create"]
    options = dict(argument.split("=", 1) for argument in arguments[2:])
    assert shlex.split(options["--command"]) == [
        "motion-vit",
        "train",
        "--config",
        "recipe.py",
        "--workdir",
        "/bucket/run",
    ]
    assert "75" in options["--restart-on-exit-codes"].split(",")
    assert "2" not in options["--restart-on-exit-codes"].split(",")
    assert int(options["--max-restarts"]) > 0


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_xpk_is_given_names_as_words_of_the_command(name: str, tmp_path: pathlib.Path) -> None:
    write_command(tmp_path, "xpk", 'printf "%s\\n" "$@"')
    variables = environment(tmp_path, WORKLOAD="mine", CONFIG=name, WORKDIR=name, OVERRIDES="--config.seed=1")
    result = subprocess.run([LAUNCH / "xpk.sh"], env=variables, capture_output=True, text=True, check=True)
    (command,) = (line for line in result.stdout.splitlines() if line.startswith("--command="))
    expected = ["motion-vit", "train", "--config", name, "--workdir", name, "--config.seed=1"]
    assert shlex.split(command.removeprefix("--command=")) == expected
