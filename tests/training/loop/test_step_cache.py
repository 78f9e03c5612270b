"""A step that was kept is the step, and is only taken for what it was traced from."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
import types
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from shared_programs import with_start_compiled_once
from small_network import register_small_network

import motion_vit
from motion_vit.ops.platform import target_platform
from motion_vit.training.loop import step_cache
from motion_vit.training.loop.step_cache import StepCache
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.registry import Loss, register_loss
from motion_vit.training.objectives.teaching import Teacher
from motion_vit.training.parallel.mesh import make_mesh
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState

# The layer of the network is split over devices, and gathered where it is read.
RULES = (("hidden/kernel", ("fsdp", None)), (".*", "fsdp"))


def make_recipe() -> ConfigDict:
    register_small_network()
    config = default_config()
    config.model.name = "small"
    config.data.frames, config.data.size = 4, 32
    config.batch_size = 8
    config.optimizer.warmup_epochs = 0.0
    config.sharding_rules = RULES
    config.ema = ((".*", 0.9),)
    return config


def make_program(
    config: ConfigDict, shape: tuple[int, int, int] = (1, 1, 1), *, total_steps: int = 20, clips: int = 1
) -> TrainingProgram:
    mesh = make_mesh(*shape, devices=jax.devices()[: int(np.prod(shape))])
    return build_program(config, mesh, clips_of_class=[clips] * 5, total_steps=total_steps, steps_per_epoch=20)


@functools.cache
def plain_program() -> TrainingProgram:
    """The program of the recipe on one device."""
    return with_start_compiled_once(make_program(make_recipe()))


def host_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.integers(0, 256, (8, 4, 32, 32, 3), dtype=np.uint8),
        "label": rng.integers(0, 5, 8, dtype=np.int32),
        "weight": np.ones(8, np.float32),
    }


def untraceable(program: TrainingProgram) -> TrainingProgram:
    """The same program, whose step says so when it is traced."""

    def step(state: TrainState, batch: object) -> None:
        raise AssertionError("the step is traced")

    return dataclasses.replace(program, step=step)


def was_kept(cache: StepCache, program: TrainingProgram) -> bool:
    """Whether the cache need not trace the step of a program."""
    program = untraceable(program)
    try:
        step = cache.step(program)
    except AssertionError:
        return False
    return step is not program.step


@pytest.fixture(scope="module", autouse=True)
def everything_loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Makes this process one that has just loaded all its code.

    Other tests may have loaded modules that they wrote. JAX loads further ones when it first exports.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion_vit, "LOADED_NS", time.time_ns() + 10**12)
        with jax.numpy_dtype_promotion("standard"):
            StepCache(tmp_path_factory.mktemp("first")).step(plain_program())
        yield


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> StepCache:
    """A cache that holds the step of the recipe on one device."""
    cache = StepCache(tmp_path_factory.mktemp("steps"))
    with jax.numpy_dtype_promotion("standard"):
        cache.step(plain_program())
    return cache


def test_a_kept_step_on_devices_that_split_parameters_is_the_traced_one(tmp_path: pathlib.Path) -> None:
    config = make_recipe()
    config.accumulation = 2
    program = with_start_compiled_once(make_program(config, (2, 2, 1)))
    cache = StepCache(tmp_path / "steps")
    batch = program.to_devices(host_batch())
    first, second = cache.step(program), cache.step(untraceable(program))
    compiled = second.lower(program.abstract_state(), program.abstract_batch()).compile()
    expected = program.step.lower(program.abstract_state(), program.abstract_batch()).compile()
    assert compiled.memory_analysis().alias_size_in_bytes == expected.memory_analysis().alias_size_in_bytes
    assert compiled.memory_analysis().temp_size_in_bytes <= expected.memory_analysis().temp_size_in_bytes
    results = []
    for step in (program.step, first, second):
        state = program.initial_state()
        for _ in range(2):
            state, metrics = step(state, batch)
        results.append(jax.device_get((dataclasses.replace(state, key=jax.random.key_data(state.key)), metrics)))
        assert jax.tree.leaves(state.params)[0].sharding == jax.tree.leaves(program.state_sharding.params)[0]
    for other in results[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, results[0])


def test_the_same_program_is_not_traced_again(kept: StepCache) -> None:
    assert was_kept(StepCache(kept.folder), make_program(make_recipe()))


def _of_another_recipe() -> TrainingProgram:
    config = make_recipe()
    config.optimizer.weight_decay = 0.1
    return make_program(config)


@pytest.mark.parametrize(
    "make_other",
    [
        pytest.param(_of_another_recipe, id="recipe"),
        pytest.param(lambda: make_program(make_recipe(), (2, 1, 1)), id="devices"),
        pytest.param(lambda: make_program(make_recipe(), total_steps=21), id="steps"),
        pytest.param(lambda: make_program(make_recipe(), clips=2), id="clips of a class"),
    ],
)
def test_a_program_that_differs_in_anything_is_traced(
    make_other: Callable[[], TrainingProgram], kept: StepCache
) -> None:
    assert not was_kept(kept, make_other())


@pytest.mark.parametrize("context", [jax.default_matmul_precision("highest"), target_platform("portable")])
def test_under_other_settings_a_step_is_traced(
    context: contextlib.AbstractContextManager[None], kept: StepCache
) -> None:
    with context:
        assert not was_kept(kept, make_program(make_recipe()))


def test_where_code_has_changed_a_step_is_traced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, module = tmp_path / "recipe.py", tmp_path / "beside_recipe.py"
    for file in (recipe, module):
        file.write_text("OPTION = 1\n")
    imported = types.ModuleType("beside_recipe")
    imported.__file__ = str(module)
    monkeypatch.setitem(step_cache.sys.modules, "beside_recipe", imported)
    cache, program = StepCache(tmp_path / "steps", sources=(recipe,)), plain_program()
    for changed in (recipe, module):
        cache.step(program)
        assert was_kept(cache, program)
        changed.write_text("OPTION = 2\n")
        os.utime(changed, ns=(0, 0))
        assert not was_kept(cache, program), changed.name


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: b"", lambda content: content[:-1] + bytes([content[-1] ^ 1])],
    ids=["cut", "empty", "changed"],
)
def test_a_damaged_file_is_traced_again_and_replaced(
    damage: Callable[[bytes], bytes], tmp_path: pathlib.Path, kept: StepCache
) -> None:
    (whole,) = kept.folder.iterdir()
    damaged, program = tmp_path / whole.name, plain_program()
    damaged.write_bytes(damage(whole.read_bytes()))
    cache = StepCache(tmp_path)
    assert not was_kept(cache, program)
    cache.step(program)
    assert was_kept(cache, program)


def test_what_is_too_large_to_be_a_step_is_neither_read_nor_written(
    tmp_path: pathlib.Path, kept: StepCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_cache, "_LARGEST", 1000)
    program = plain_program()
    assert not was_kept(kept, program)
    assert StepCache(tmp_path).step(program) is program.step
    assert [file.stat().st_size < 1000 for file in tmp_path.iterdir()] == [True]


def test_a_folder_that_cannot_be_written_to_only_costs_time(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    program = plain_program()
    step = StepCache(tmp_path / "file" / "steps").step(program)
    _, metrics = step(program.initial_state(), program.to_devices(host_batch()))
    assert np.isfinite(metrics["loss"])


def test_the_longest_unused_are_removed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_cache, "_MOST", 2)
    cache = StepCache(tmp_path)
    programs = [make_program(make_recipe(), total_steps=number) for number in (20, 21, 22)]
    for age, program in enumerate(programs[:2]):
        cache.step(program)
        for file in tmp_path.iterdir():
            os.utime(file, (age, age))
    assert was_kept(cache, programs[0])  # and is in use since
    cache.step(programs[2])
    assert [was_kept(cache, program) for program in programs] == [True, False, True]


def test_where_code_has_changed_since_it_was_loaded_nothing_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text("")
    monkeypatch.setattr(motion_vit, "LOADED_NS", recipe.stat().st_mtime_ns - 1)
    program = plain_program()
    assert StepCache(tmp_path / "steps", sources=(recipe,)).step(program) is program.step
    assert not (tmp_path / "steps").exists()


def test_what_a_recipe_was_given_counts(kept: StepCache) -> None:
    assert not was_kept(dataclasses.replace(kept, arguments=("recipe.py:other",)), plain_program())


def test_processes_that_train_together_trace_the_same_program(kept: StepCache, monkeypatch: pytest.MonkeyPatch) -> None:
    program = plain_program()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert kept.step(program) is program.step


def test_a_step_with_teachers_is_the_programs_own(kept: StepCache) -> None:
    program = plain_program()
    teacher = Teacher("teacher", program.model, {}, program.normalization, tuple(range(5)))
    assert kept.step(dataclasses.replace(program, teachers=(teacher,))) is program.step


def test_a_step_that_calls_python_is_the_programs_own_and_not_traced_twice_again(tmp_path: pathlib.Path) -> None:
    def calls_python(clips_of_class: object) -> Loss:
        plain = cross_entropy(clips_of_class)

        def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
            jax.debug.callback(lambda value: None, jnp.sum(logits))
            return plain(logits, targets)

        return loss

    register_loss("calls_python", calls_python)
    config = make_recipe()
    config.loss.name = "calls_python"
    program = make_program(config)
    cache = StepCache(tmp_path)
    assert cache.step(program) is program.step
    program = untraceable(program)
    assert cache.step(program) is program.step
