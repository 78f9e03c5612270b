"""The state that a call of `train` starts from."""

from collections.abc import Sequence

from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.loop.initial_weights import start_from_weights
from motion_vit.training.loop.load_teachers import check_same_teachers
from motion_vit.training.loop.step_compilation import StepCompilation
from motion_vit.training.loop.training_batches import RunBatches
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState


def first_state(
    program: TrainingProgram,
    compilation: StepCompilation,
    checkpoints: Checkpoints,
    batches: RunBatches,
    label_names: Sequence[str],
    total_steps: int,
) -> tuple[TrainState, str]:
    """Restores the latest checkpoint, or makes the state before the first step; every process must call it.

    The step is compiled meanwhile, but for a start from weights: what is wrong with those is told before.

    Args:
      program: what the recipe compiles.
      compilation: that of its step, which begins here.
      checkpoints: the checkpoints of the run.
      batches: the training data, which is put to the place where the checkpoint left it.
      label_names: classes of the training data.
      total_steps: of the whole run; for a finished one nothing is compiled.

    Returns:
      The state on the devices, and a line on the weights that it starts from, "" for the log to say nothing.

    Raises:
      UserError: a checkpoint or the initial weights cannot be read, or are of another model or of other data; or the
        run had other teachers.
    """
    step = checkpoints.agree_on_latest_step()
    if step is not None:
        if step < total_steps:
            compilation.begin()
        restored = checkpoints.restore(program.abstract_state(), step)
        check_same_teachers(program.teachers, restored.description)
        batches.set_state(restored.data_state)
        return restored.state, ""
    if program.config.initial_weights:
        state, origin = start_from_weights(program, label_names)
        compilation.begin()
        return state, origin
    compilation.begin()
    return program.initial_state(), ""
