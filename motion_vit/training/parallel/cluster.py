"""Detects whether this process is one of several that train together, and the arguments that JAX needs to join them.

JAX knows the environment of SLURM, Open MPI, Cloud TPU pods and Kubernetes jobs, but it treats a single process as an
error, or as a run of one. This module only detects the case; JAX does the rest.
"""

import importlib.util
import ipaddress
import urllib.request
from collections.abc import Mapping
from typing import Any

from motion_vit.errors import UserError
from motion_vit.training.parallel.tpu_environment import has_tpu

_ADDRESS, _COUNT, _NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
# What JAX takes for a step of SLURM.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_TPU_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/"
_METADATA_SECONDS = 5


def cluster_arguments(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Detects the other processes of a run.

    The sources are, in this order:

    * JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID, on any kind of machine.
      JAX_NUM_PROCESSES=1 declares a single process, whatever its environment;
    * a step of SLURM;
    * `mpirun` of Open MPI;
    * hosts of a TPU slice;
    * an indexed job of Kubernetes, where the package `kubernetes` is installed (`pip install "jax[k8s]"`).

    Args:
      environment: variables, as in `os.environ`.

    Returns:
      Arguments of `jax.distributed.initialize` that it cannot find by itself, None for a single process.

    Raises:
      UserError: the environment has only some of the variables.
    """
    if environment.get(_COUNT) == "1":
        return None
    if _COUNT in environment or _NUMBER in environment:
        return _given(environment)
    for found in (_slurm(environment), _open_mpi(environment), _tpu(environment), _kubernetes(environment)):
        if found is not None:
            return found
    return _given(environment) if _ADDRESS in environment else None


def _given(environment: Mapping[str, str]) -> dict[str, Any]:
    """Reads the three variables of JAX, which itself reads only the first of them."""
    missing = [name for name in (_ADDRESS, _COUNT, _NUMBER) if not environment.get(name)]
    if missing:
        raise UserError(
            f"{_ADDRESS}, {_COUNT} and {_NUMBER} belong together, but {' and '.join(missing)} is not set. "
            "Set all three, in every process of the run, or none of them to train in this process alone."
        )
    count, number = (_whole_number(name, environment[name]) for name in (_COUNT, _NUMBER))
    if number >= count:
        raise UserError(f"{_NUMBER} is {number}, but must be from 0 to {count - 1}: {_COUNT} is {count}.")
    if ":" not in environment[_ADDRESS]:
        raise UserError(f"{_ADDRESS} is {environment[_ADDRESS]!r}, but must be host:port of process 0.")
    arguments: dict[str, Any] = {
        "coordinator_address": environment[_ADDRESS],
        "num_processes": count,
        "process_id": number,
        "cluster_detection_method": "deactivate",
    }
    if number == 0 and _is_loopback(environment[_ADDRESS]):
        # Otherwise JAX listens on every network interface, and trusts whoever calls.
        arguments["coordinator_bind_address"] = environment[_ADDRESS]
    return arguments


def _is_loopback(address: str) -> bool:
    """Tells if a host:port is reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _slurm(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Detects a step of several tasks. An allocation without `srun`, and a step of one task, are single processes."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", "1"))
    if tasks == "1" or any(name not in environment for name in _SLURM):
        return None
    # JAX gives each task the one GPU of its number, which is wrong for the only task of a node, and for a task that
    # SLURM has bound to its own GPUs. An empty list stands for all that the task sees.
    alone_on_node = environment.get("SLURM_STEP_TASKS_PER_NODE", "").split("(")[0] == "1"
    sees_its_own = alone_on_node or "SLURM_GPUS_PER_TASK" in environment
    return {"local_device_ids": []} if sees_its_own and "JAX_LOCAL_DEVICE_IDS" not in environment else {}


def _open_mpi(environment: Mapping[str, str]) -> dict[str, Any] | None:
    count = environment.get("OMPI_COMM_WORLD_SIZE", "1")
    if count == "1":
        return None
    if "OMPI_MCA_orte_hnp_uri" not in environment:
        raise UserError(
            f"mpirun has started {count} processes, but JAX finds process 0 only with Open MPI 4 and older. "
            f"Set {_ADDRESS} (host:port of process 0), {_COUNT}=$OMPI_COMM_WORLD_SIZE and "
            f"{_NUMBER}=$OMPI_COMM_WORLD_RANK in every process."
        )
    return {}


def _tpu(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Detects a TPU slice of several hosts, or several slices."""
    if not has_tpu():
        return None
    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES"))
    slices = environment.get("MEGASCALE_NUM_SLICES")
    if "TPU_SKIP_MDS_QUERY" not in environment:
        hosts = _tpu_metadata("worker-network-endpoints") if hosts is None else hosts
        slices = _slices_of(_tpu_metadata("tpu-env")) if slices is None else slices
    return {} if "," in (hosts or "") or (slices or "1") != "1" else None


def _tpu_metadata(key: str) -> str:
    """Reads an attribute of this machine from Google Cloud; empty elsewhere."""
    request = urllib.request.Request(_TPU_METADATA + key, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _slices_of(tpu_env: str) -> str:
    """Reads the number of slices from lines such as `MEGASCALE_NUM_SLICES: '2'`."""
    lines = dict(line.split(":", 1) for line in tpu_env.splitlines() if ":" in line)
    return lines.get("MEGASCALE_NUM_SLICES", "1").strip().strip("'")


def _kubernetes(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Detects a pod of an indexed job. Without the package, JAX cannot find the others, and the pod is alone."""
    names = ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX")
    is_job = all(name in environment for name in names)
    return {} if is_job and importlib.util.find_spec("kubernetes") is not None else None


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r}, but must be a whole number from 0 on.")
    return int(text)
