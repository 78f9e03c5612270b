"""Errors of JAX's runtime, explained: no memory left, or another process of the run lost."""

import contextlib
from collections.abc import Iterator

import jax

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.parallel.last_words import LastWords
from motion_vit.training.parallel.processes import LostProcessError, is_process_lost


class RuntimeErrors:
    """Explains errors of JAX's runtime; of several processes, also the end of one that is killed.

    Args:
      checkpoints: where the run would continue from.
      words: printed if this process is killed; None where it trains alone.
    """

    def __init__(self, checkpoints: Checkpoints, words: LastWords | None) -> None:
        self._checkpoints, self._words = checkpoints, words
        self.update()

    def update(self) -> None:
        """Notes from which checkpoint the run would continue now."""
        if self._words is not None:
            self._words.change(f"motion-vit: process {jax.process_index()}: {self._how_to_continue()}")

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns errors of JAX's runtime into messages.

        Raises:
          UserError: the devices ran out of memory.
          LostProcessError: another process has ended or cannot be reached.
        """
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).splitlines()[0]
            if "RESOURCE_EXHAUSTED" in reason:
                raise UserError(
                    f"the memory of the devices does not suffice: {reason}. Choose a smaller batch_size, remat "
                    "'matmuls' or 'blocks', or more accumulation; `motion-vit inspect CONFIG --topology local` says "
                    "what a step takes."
                ) from error
            if not is_process_lost(error):
                raise
            raise LostProcessError(f"{self._how_to_continue()} ({reason})") from error

    def _how_to_continue(self) -> str:
        saved = self._checkpoints.saved_steps()
        where = f"continues from step {saved[-1]} or later" if saved else "starts from the beginning"
        return (
            "another process of this run has ended or cannot be reached, or this one was killed. Start all processes "
            f"again with the same command: it {where}."
        )
