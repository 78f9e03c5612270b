import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from motion_vit import UserError
from motion_vit.training.parallel import mesh as meshes


@dataclasses.dataclass(frozen=True)
class Device:
    """A device of one of several processes, as far as making a mesh looks at it."""

    id: int
    process_index: int
    slice_index: int = 0
    platform: str = "cpu"
    device_kind: str = "cpu"


def devices_of(processes: int, each: int) -> list[Device]:
    return [Device(number, number // each) for number in range(processes * each)]


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({}, (8, 1, 1)),
        ({"data": 2, "fsdp": 4}, (2, 4, 1)),
        ({"fsdp": 2}, (4, 2, 1)),
        ({"data": 2, "fsdp": -1, "frames": 2}, (2, 2, 2)),
        ({"data": 1, "frames": -1}, (1, 1, 8)),
    ],
)
def test_one_axis_takes_the_devices_that_are_left(sizes: dict[str, int], shape: tuple[int, ...]) -> None:
    mesh = meshes.make_mesh(**sizes)
    assert mesh.axis_names == ("data", "fsdp", "frames")
    assert mesh.devices.shape == shape
    assert meshes.batch_parts(mesh) == shape[0] * shape[1]


@pytest.mark.parametrize(
    "sizes",
    [{"data": 3}, {"data": 4}, {"data": 4, "fsdp": 4}, {"fsdp": -1}, {"fsdp": 3}, {"data": 0}, {"data": 4, "fsdp": -2}],
)
def test_sizes_that_do_not_make_up_the_devices_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"config field mesh has data = .*does not make up 8 devices"):
        meshes.make_mesh(**sizes)


def test_the_frames_of_a_clip_stay_with_the_process_that_reads_it() -> None:
    mesh = meshes.make_mesh(frames=4, devices=devices_of(processes=2, each=4))
    assert [{device.process_index for device in row} for row in mesh.devices.reshape(-1, 4)] == [{0}, {1}]
    # In an order that suits a network but not the data.
    mixed = sorted(devices_of(processes=2, each=4), key=lambda device: device.id % 4)
    mesh = meshes.make_mesh(frames=4, devices=mixed)
    assert [{device.process_index for device in row} for row in mesh.devices.reshape(-1, 4)] == [{0}, {1}]
    with pytest.raises(UserError, match=r"mesh.frames is 4, .* multiple of so many devices"):
        meshes.make_mesh(frames=4, devices=devices_of(processes=4, each=2))


def test_only_the_data_axis_leads_from_one_tpu_slice_to_another() -> None:
    devices = [Device(number, process_index=number // 4, slice_index=number // 4) for number in range(8)]
    mesh = meshes.make_mesh(fsdp=2, devices=devices[::2] + devices[1::2])
    slices = [[device.slice_index for device in row] for row in mesh.devices.reshape(4, 2)]
    assert slices == [[0, 0], [0, 0], [1, 1], [1, 1]]
    with pytest.raises(UserError, match=r"mesh.data is 1, but must be a multiple of the 2 TPU slices"):
        meshes.make_mesh(data=1, fsdp=8, devices=devices)


@pytest.mark.parametrize(("accumulation", "rows"), [(1, [[0], [1], [2], [3]]), (2, [[0, 4], [1, 5], [2, 6], [3, 7]])])
def test_a_batch_lies_on_the_devices_by_rows_and_its_clips_by_frames(accumulation: int, rows: list[list[int]]) -> None:
    mesh = meshes.make_mesh(data=2, fsdp=2, frames=2)
    count = 4 * accumulation
    clips = np.arange(count * 6).reshape(count, 6, 1, 1, 1)
    batch = meshes.to_devices({"clip": clips, "label": np.arange(count)}, mesh, accumulation)
    leading = (accumulation,) if accumulation > 1 else ()
    unsplit = (None,) * len(leading)
    assert batch["clip"].sharding.spec == PartitionSpec(*unsplit, ("data", "fsdp"), "frames")
    assert batch["label"].sharding.spec == PartitionSpec(*unsplit, ("data", "fsdp"))
    for part in batch["label"].addressable_shards:
        data, fsdp, _ = np.argwhere(mesh.devices == part.device)[0]
        assert part.data.ravel().tolist() == rows[2 * data + fsdp]
    assert {part.data.shape for part in batch["clip"].addressable_shards} == {(*leading, 1, 3, 1, 1, 1)}
    np.testing.assert_array_equal(np.asarray(batch["clip"]).reshape(clips.shape), clips)


def test_a_batch_that_the_devices_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size is 12.*8 devices.*such as 16"):
        meshes.check_divides(12, meshes.data_mesh(), "batch_size")
    with pytest.raises(UserError, match=r"batch_size is 24.*8 devices x 2 parts \(accumulation\).*such as 32"):
        meshes.check_divides(24, meshes.data_mesh(), "batch_size", accumulation=2)
    # Devices that share a clip do not divide the batch.
    meshes.check_divides(12, meshes.make_mesh(data=4, frames=2), "batch_size")


def test_evaluation_runs_on_all_devices_by_default() -> None:
    assert meshes.data_mesh().devices.ravel().tolist() == jax.devices()
    assert meshes.data_mesh(jax.devices()[:2]).devices.shape == (2, 1, 1)


def test_only_several_cpu_devices_need_options_of_the_compiler() -> None:
    gpus = [Device(number, 0, platform="gpu", device_kind="gpu") for number in range(8)]
    assert meshes.compiler_options(meshes.make_mesh(devices=gpus)) is None
    assert meshes.compiler_options(meshes.make_mesh(devices=jax.devices()[:1])) is None
    assert meshes.compiler_options(meshes.make_mesh(fsdp=8)) is not None
