"""Steps of recipes without labels, on any arrangement of devices, for tests."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from shared_programs import shared_program

from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState


def program_of(config: ConfigDict, *shape: int, steps: int = 10) -> TrainingProgram:
    mesh = meshes.make_mesh(*shape, devices=jax.devices()[: int(np.prod(shape))])
    return shared_program(config, mesh, clips_of_class=[1] * 5, total_steps=steps, steps_per_epoch=steps)


def host_batch(size: int = 32, clips: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.integers(0, 256, (clips, 4, size, size, 3), dtype=np.uint8),
        "label": np.zeros(clips, np.int32),
        "weight": np.array([1, 1, 0, *[1] * (clips - 3)], np.float32),
    }


def two_steps(program: TrainingProgram, batch: dict[str, np.ndarray] | None = None) -> tuple[TrainState, list]:
    """The state after two steps on one batch, and their metrics."""
    batch = host_batch(program.config.data.size) if batch is None else batch
    state, found = program.initial_state(), []
    for _ in range(2):
        state, metrics = program.step(state, program.to_devices(batch))
        found.append({name: float(value) for name, value in jax.device_get(metrics).items()})
    return jax.device_get(dataclasses.replace(state, key=None)), found


def assert_same(found: tuple[TrainState, list], expected: tuple[TrainState, list], rtol: float = 1e-4) -> None:
    for one, other in zip(found[1], expected[1], strict=True):
        assert one.keys() == other.keys()
        for name in other:
            assert one[name] == pytest.approx(other[name], rel=rtol), name
    ours, theirs = (traverse_util.flatten_dict(state.params, sep="/") for state, _ in (found, expected))
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
