"""Programs that the runs of tests share: tracing and lowering one takes longer than training it for a few steps."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.training.objectives.teaching import Teacher
from motion_vit.training.recipe.config import flatten
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState

# What of a recipe a program does not depend on, but for the numbers of classes and steps that it is made with.
OF_RUNS_ALONE = (
    *("name", "epochs", "checkpoint.", "early_stopping.", "evaluation.", "log."),
    *("data.train", "data.validation", "data.class_balance", "data.max_undecodable", "data.workers", "data.threads"),
)


@dataclasses.dataclass(frozen=True)
class SharedProgram(TrainingProgram):
    """A program whose first state is drawn by a function that was compiled for all that share it.

    Attributes:
      draw_state: from a key, the state before the first step.
    """

    draw_state: Callable[[PRNGKeyArray], TrainState] | None = None

    def initial_state(self) -> TrainState:
        assert self.draw_state is not None
        return self.draw_state(jax.random.key(self.config.seed))


def with_start_compiled_once(program: TrainingProgram) -> SharedProgram:
    """The same program, which compiles the drawing of its first state for all calls."""
    parts = {field.name: getattr(program, field.name) for field in dataclasses.fields(program)}
    return SharedProgram(**parts, draw_state=jax.jit(program._make_state, out_shardings=program.state_sharding))


_programs: dict[Any, SharedProgram] = {}


def shared_program(
    config: ConfigDict, mesh: Mesh, *, clips_of_class: Sequence[int], teachers: Sequence[Teacher] = (), **steps: float
) -> TrainingProgram:
    """Makes a recipe's program of what was traced and compiled for the same recipe before, if it was.

    Takes the place of `build_program`, which see.
    """
    sizes: dict[str, Any] = {"clips_of_class": clips_of_class, **steps}
    if teachers:
        return build_program(config, mesh, **sizes, teachers=teachers)
    fields = {name: value for name, value in flatten(config).items() if not name.startswith(OF_RUNS_ALONE)}
    key = (json.dumps(fields), mesh, tuple(map(int, clips_of_class)), *sorted(steps.items()))
    if key not in _programs:
        _programs[key] = with_start_compiled_once(build_program(config, mesh, **sizes))
    return dataclasses.replace(_programs[key], config=config)
