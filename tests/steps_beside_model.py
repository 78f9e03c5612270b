"""Steps of objectives with parameters beside those of the model, for tests."""

import dataclasses
import json
import pathlib

import jax
import numpy as np

from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.recipe.config import to_json
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState

Trained = tuple[TrainState, list[dict[str, float]]]
"""A state and the metrics of each step before it."""


def batch_of(program: TrainingProgram, undecodable: int | None = None) -> dict[str, jax.Array]:
    """Eight clips of five classes, of which the first does not count and may have all pixels of a value."""
    rng = np.random.default_rng(0)
    data = program.config.data
    clips = rng.integers(0, 256, (8, data.frames, data.size, data.size, 3), dtype=np.uint8)
    if undecodable is not None:
        clips[0] = undecodable
    weight = np.array([0, *[1] * 7], np.float32)
    return program.to_devices({"clip": clips, "label": rng.integers(0, 5, 8, dtype=np.int32), "weight": weight})


def steps(program: TrainingProgram, state: TrainState, count: int, undecodable: int | None = None) -> Trained:
    found = []
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(count):
            state, metrics = program.step(state, batch_of(program, undecodable), *program.inputs_beside)
            found.append({name: float(value) for name, value in jax.device_get(metrics).items()})
    return state, found


def first_steps(program: TrainingProgram, count: int) -> Trained:
    """Steps from the initial state; what they end with is kept on the host, because a step gives up its state."""
    with jax.numpy_dtype_promotion("standard"):  # as in the tests, which else compile it once more
        first = program.initial_state()
    state, found = steps(program, first, count)
    return jax.device_get(dataclasses.replace(state, key=jax.random.key_data(state.key))), found


def assert_goes_on_bit_for_bit(program: TrainingProgram, expected: TrainState, folder: pathlib.Path) -> set[str]:
    """Compares four steps, after two of which the state is saved and restored, with those that led to `expected`.

    Returns the top-level names of the restored averages.
    """
    half, _ = steps(program, program.initial_state(), 2)
    with Checkpoints(folder, keep=1) as checkpoints:
        checkpoints.save(half, {}, {"label_names": list("abcde"), "config": json.loads(to_json(program.config))})
        checkpoints.wait()
        restored = checkpoints.restore(program.abstract_state()).state
    averages = set(restored.ema)  # a step gives up the state
    state, _ = steps(program, restored, 2)
    for name in ("params", "ema", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(expected, name))
    return averages
