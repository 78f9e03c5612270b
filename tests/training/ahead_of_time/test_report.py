"""The scaling report on the devices of this machine and, where their compilers are installed, on TPUs and GPUs that are
not.
"""

import dataclasses
import importlib.machinery
import importlib.util
import json
import types

import jax
import pytest
from ml_collections import ConfigDict
from small_network import register_small_network

from motion_vit.errors import UserError
from motion_vit.training.ahead_of_time import gpu_topology, topology, tpu_topology
from motion_vit.training.ahead_of_time import report as scaling_report
from motion_vit.training.ahead_of_time.collectives import Collective
from motion_vit.training.ahead_of_time.program_costs import ProgramCosts
from motion_vit.training.ahead_of_time.report import MemoryByKind, ScalingReport
from motion_vit.training.ahead_of_time.table import format_report
from motion_vit.training.recipe.config import default_config

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler libtpu is not installed (the extra `tpu`)"
)

needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is None or importlib.util.find_spec("jax_plugins.xla_cuda13") is None,
    reason="JAX's CUDA plugin is not installed (the extra `gpu`)",
)

# Parameters of the network: two dense layers and a BatchNorm.
PARAMETERS = (8 * 8 * 3 + 1) * 128 + 2 * 128 + (128 + 1) * 10


@pytest.fixture
def config() -> ConfigDict:
    """A recipe of 16 clips a step, without data."""
    register_small_network()
    config = default_config()
    config.model.name = "small"
    config.data.frames = 4
    config.data.size = 32
    config.batch_size = 16
    return config


def test_a_step_on_local_devices_is_measured(config: ConfigDict) -> None:
    report = scaling_report.scaling_report(config, "local", num_classes=10)
    assert (report.devices, report.clips_per_device, report.fits) == (8, 2, True)
    assert report.memory.params == PARAMETERS * 4
    assert 2 * report.memory.params <= report.memory.opt_state <= 2 * report.memory.params + 64
    assert report.memory.batch == 2 * (4 * 32 * 32 * 3 + 4 + 4)
    # A product forward and two backward for each layer, but no gradient to the clip.
    dense, head = 8 * 8 * 3 * 128, 128 * 10
    assert report.costs.flops == 2 * 2 * (2 * dense + 3 * head)
    (summed,) = report.costs.collectives
    assert summed.kind == "all-reduce"
    assert PARAMETERS * 4 < summed.bytes < PARAMETERS * 4 * 1.05
    assert json.loads(json.dumps(report.to_dict()))["costs"]["bytes_accessed_per_clip"] > 0


def test_state_split_over_devices_takes_a_share_of_the_memory(config: ConfigDict) -> None:
    config.mesh.data, config.mesh.fsdp = 1, 8
    report = scaling_report.scaling_report(config, "local", num_classes=10)
    assert report.mesh == {"data": 1, "fsdp": 8, "frames": 1}
    assert report.memory.params < PARAMETERS * 4 / 5
    assert "all-gather" in {one.kind for one in report.costs.collectives}


@pytest.mark.usefixtures("uncached")
@needs_libtpu
def test_a_step_on_a_tpu_slice_is_measured_without_one(config: ConfigDict) -> None:
    report = scaling_report.scaling_report(config, "v5e:2x2", num_classes=10)
    assert (report.devices, report.device_kind, report.clips) == (4, "TPU v5 lite", 16)
    assert report.limit == pytest.approx(16 * 2**30, rel=0.02)
    assert report.fits
    assert report.memory.padding > 0
    assert 0 < report.costs.main_memory_bytes < report.costs.bytes_accessed
    assert report.costs.unknown_loops == 0
    assert sum(one.bytes for one in report.costs.collectives) > PARAMETERS * 2


@pytest.mark.slow
@pytest.mark.usefixtures("uncached")
@needs_libtpu
def test_activations_that_leave_a_tpus_chip_take_memory(config: ConfigDict) -> None:
    config.data.frames, config.batch_size = 64, 4096
    memory = scaling_report.scaling_report(config, "v5e:2x2", num_classes=10).memory
    # The network reduces what it makes of the clips at once.
    assert 0 < memory.temporaries < memory.batch


@needs_libtpu
@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("v5e-16", r"expected a TPU generation and the chips along each axis"),
        ("v5e:3x5", r"'v5e:3x5' is unknown to libtpu: .* not divisible"),
        ("v99:2x2", r"'v99:2x2' is unknown to libtpu"),
        ("v5e:4x4", r"for 16 devices \(v5e:4x4\): .*batch_size is 24"),
    ],
)
def test_what_cannot_be_compiled_for_is_named(config: ConfigDict, topology: str, message: str) -> None:
    config.batch_size = 24
    with pytest.raises(UserError, match=message):
        scaling_report.scaling_report(config, topology, num_classes=10)


def cuda_is_not_loaded(**_: str) -> None:
    """What JAX says where no plugin for CUDA was loaded."""
    raise NotImplementedError("topology not implemented for cuda")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e:2x2", r"the TPU compiler, which is not installed: pip install 'motion_vit\[tpu\]'"),
        ("h100:8", r"JAX's CUDA plugin, which is not installed: pip install 'motion_vit\[gpu\]'"),
    ],
)
def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(tpu_topology.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu_topology.topologies, "get_topology_desc", cuda_is_not_loaded)
    with pytest.raises(UserError, match=message):
        topology.topology_devices(name)


def test_a_missing_library_of_attention_is_named(config: ConfigDict, monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(*_: object) -> None:
        # What JAX says where attention takes cuDNN and there is none.
        raise RuntimeError("cuDNN not found.")

    program = types.SimpleNamespace(lower_step=lower)
    monkeypatch.setattr(scaling_report, "build_program", lambda *_, **__: program)
    with pytest.raises(UserError, match=r"cuDNN, which is not installed: pip install 'motion_vit\[gpu\]', or choose"):
        scaling_report.scaling_report(config, "local", num_classes=10)


def test_a_compiler_for_gpus_that_jax_did_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpu_topology.importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None)
    )
    monkeypatch.setattr(gpu_topology.topologies, "get_topology_desc", cuda_is_not_loaded)
    with pytest.raises(UserError, match="set JAX_PLATFORMS=cpu before it starts"):
        topology.topology_devices("h200:1")


@pytest.mark.parametrize("name", ["h100", "h100:", "h100:8x", "h100:2x2x2"])
def test_a_number_of_gpus_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"topology '{name}' is not understood: .* such as h100:8"):
        topology.topology_devices(name)


@needs_cuda
def test_a_step_on_gpus_is_measured_without_one(config: ConfigDict) -> None:
    report = scaling_report.scaling_report(config, "h100:1x4", num_classes=10)
    assert (report.devices, report.device_kind, report.clips) == (4, "NVIDIA H100 80GB HBM3", 16)
    assert report.limit == pytest.approx(0.75 * 85e9, rel=0.01)
    assert report.fits
    assert report.memory.params == PARAMETERS * 4
    assert report.costs.library_calls > 0
    assert report.costs.bytes_accessed > PARAMETERS * 4
    assert sum(one.bytes for one in report.costs.collectives) > PARAMETERS * 2


@pytest.mark.slow
@needs_libtpu
def test_a_step_that_the_compiler_refuses_does_not_fit(config: ConfigDict) -> None:
    config.data.frames = 4096
    config.batch_size = 16 * 1024
    report = scaling_report.scaling_report(config, "v5e:2x2", num_classes=10)
    assert not report.fits
    assert report.memory is None
    assert "exceeds available HBM (15.75G)" in report.refusal
    assert "does not fit: Ran out of memory" in format_report(report)


def make_report(limit: int | None) -> ScalingReport:
    """A report of round numbers."""
    return ScalingReport(
        topology="v5e:4x4",
        devices=16,
        device_kind="TPU v5 lite",
        mesh={"data": 8, "fsdp": 2, "frames": 1},
        clips=64,
        limit=limit,
        compile_seconds=12.0,
        memory=MemoryByKind(1_000_000, 2_000_000, 0, 500_000, 0, 0, 6_000_000, 500_000),
        costs=ProgramCosts(8 * 10**12, 40 * 10**9, 10**10, (Collective("all-reduce", 3, 10**6, 2 * 10**6),), 0, 0),
    )


def test_the_table_holds_what_a_person_asks_for() -> None:
    text = format_report(make_report(limit=20_000_000))
    for line in (
        "v5e:4x4: 16 x TPU v5 lite (data 8 x fsdp 2), 64 clips a step, 4 a device; compiled in 12.0 s",
        "all                                   10.0  of 20.0: fits, 50 %",
        "arithmetic                           8.000 TFLOP of matrix products and convolutions, 2.000 a clip",
        "memory accessed                      40.00 GB, 10.00 a clip",
        "  of it outside of the chip          10.00 GB, 2.50 a clip",
        "all-reduce                         3           1.00         2.00",
    ):
        assert line in text


@pytest.mark.parametrize(("limit", "fits"), [(9_999_999, False), (10_000_000, True), (None, True)])
def test_a_step_fits_up_to_the_limit(limit: int | None, fits: bool) -> None:
    report = make_report(limit)
    assert report.fits is fits
    assert ("does not fit" in format_report(report)) is not fits
    assert dataclasses.replace(report, memory=None, costs=None, refusal="too large").fits is False


def test_devices_that_do_not_say_have_no_limit() -> None:
    assert topology.usable_memory(jax.devices()[0]) is None


class AttachedGpu:
    """A GPU of a kind that is known, of which JAX was given a tenth."""

    platform = "gpu"
    device_kind = "NVIDIA H100 80GB HBM3"

    def memory_stats(self) -> dict[str, int]:
        """What its allocator says."""
        return {"bytes_limit": 8 * 10**9}


def test_an_attached_gpu_says_itself_what_it_has_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = AttachedGpu()
    monkeypatch.setattr(topology.jax, "devices", lambda: [gpu])
    assert topology.usable_memory(gpu) == 8 * 10**9
