import pathlib

import pytest

from motion_vit import UserError
from motion_vit.training.parallel import cluster
from motion_vit.training.parallel.cluster import cluster_arguments

GIVEN = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}


def without(names: set[str], variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in names}


@pytest.fixture(autouse=True)
def no_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say themselves where there is one."""
    monkeypatch.setattr(cluster, "has_tpu", lambda: False)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"JAX_NUM_PROCESSES": "1", **SLURM},
        # An allocation whose shell, or whose batch script, runs the command without srun.
        without({"SLURM_STEP_NODELIST"}, SLURM),
        SLURM | {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"},
        SLURM | {"SLURM_STEP_NUM_TASKS": "1"},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"},
        # A notebook in a cluster.
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    ],
    ids=["nothing", "told so", "no step", "a step of one task", "a step of one of many", "mpirun of one", "a pod"],
)
def test_a_lone_process_stays_alone(environment: dict[str, str]) -> None:
    assert cluster_arguments(environment) is None


def test_the_three_variables_hold_whatever_else_is_found() -> None:
    for surroundings in ({}, SLURM):
        found = cluster_arguments(surroundings | GIVEN)
        assert found is not None
        assert found["coordinator_address"] == "10.0.0.1:1234"
        assert (found["num_processes"], found["process_id"]) == (4, 3)
        assert found["cluster_detection_method"] == "deactivate"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"JAX_PROCESS_ID": ""}, "JAX_PROCESS_ID is not set"),
        ({"JAX_PROCESS_ID": "", "JAX_COORDINATOR_ADDRESS": ""}, "JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID is not"),
        ({"JAX_PROCESS_ID": "4"}, "must be from 0 to 3"),
        ({"JAX_PROCESS_ID": "first"}, "must be a whole number"),
        ({"JAX_NUM_PROCESSES": "-2"}, "must be a whole number"),
        ({"JAX_COORDINATOR_ADDRESS": "10.0.0.1"}, "must be host:port"),
    ],
)
def test_variables_that_cannot_be_used_are_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cluster_arguments(GIVEN | change)


def test_an_address_alone_is_not_enough_but_where_a_cluster_says_the_rest() -> None:
    address = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"}
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES and JAX_PROCESS_ID is not set"):
        cluster_arguments(address)
    assert cluster_arguments(address | SLURM) is not None


def test_the_only_task_of_a_node_takes_all_its_devices_and_one_of_several_its_own() -> None:
    assert cluster_arguments(SLURM) == {"local_device_ids": []}
    several = SLURM | {"SLURM_STEP_TASKS_PER_NODE": "8(x2)", "SLURM_NTASKS": "16", "SLURM_STEP_NUM_TASKS": "16"}
    assert cluster_arguments(several) == {}
    assert cluster_arguments(several | {"SLURM_GPUS_PER_TASK": "1"}) == {"local_device_ids": []}
    assert cluster_arguments(SLURM | {"JAX_LOCAL_DEVICE_IDS": "0,1"}) == {}


def test_open_mpi_is_left_to_jax_where_jax_knows_it() -> None:
    many = {"OMPI_COMM_WORLD_SIZE": "4"}
    assert cluster_arguments(many | {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}) == {}
    with pytest.raises(UserError, match="mpirun has started 4 processes"):
        cluster_arguments(many)


@pytest.mark.parametrize(
    ("environment", "metadata", "many"),
    [
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, {}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, {}, False),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "MEGASCALE_NUM_SLICES": "2"}, {}, True),
        ({}, {"worker-network-endpoints": "x:0:10.0.0.1,x:1:10.0.0.2"}, True),
        ({}, {"worker-network-endpoints": "x:0:10.0.0.1"}, False),
        ({}, {"worker-network-endpoints": "a", "tpu-env": "ZONE: 'b'\nMEGASCALE_NUM_SLICES: '2'\n"}, True),
        ({"TPU_SKIP_MDS_QUERY": "1"}, {"worker-network-endpoints": "a,b"}, False),
        ({}, {}, False),
    ],
)
def test_hosts_of_a_tpu_slice_are_counted(
    environment: dict[str, str], metadata: dict[str, str], many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "has_tpu", lambda: True)
    monkeypatch.setattr(cluster, "_tpu_metadata", lambda key: metadata.get(key, ""))
    assert cluster_arguments(environment) == ({} if many else None)


def test_a_pod_of_an_indexed_job_asks_for_the_others_only_with_the_package(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}
    assert cluster_arguments(pod) is None
    (tmp_path / "kubernetes.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert cluster_arguments(pod) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "[::1]"])
def test_a_run_of_one_machine_listens_to_no_other(host: str) -> None:
    address = f"{host}:1234"
    given = {**GIVEN, "JAX_COORDINATOR_ADDRESS": address}
    assert cluster_arguments(given | {"JAX_PROCESS_ID": "0"})["coordinator_bind_address"] == address
    # JAX takes the argument from process 0 alone.
    assert "coordinator_bind_address" not in cluster_arguments(given)
    assert "coordinator_bind_address" not in cluster_arguments({**GIVEN, "JAX_PROCESS_ID": "0"})
