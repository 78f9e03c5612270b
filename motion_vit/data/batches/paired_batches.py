"""Batches of labelled clips, each with a fixed number of unlabelled ones beside them."""

from collections.abc import Iterator
from typing import Any

from motion_vit.data.batches.batch import Batch
from motion_vit.data.batches.training_batches import TrainingBatches

UNLABELLED = "unlabelled_"
"""What the names of the entries of unlabelled clips begin with, such as `unlabelled_weak`."""

_STATE = "unlabelled"


class PairedBatches:
    """An endless stream of training batches with entries of unlabelled clips; its state is that of both streams.

    Args:
      labelled: batches of labelled clips.
      unlabelled: batches of unlabelled clips, of as many videos a step as there are to be.
    """

    def __init__(self, labelled: TrainingBatches, unlabelled: TrainingBatches) -> None:
        self._labelled, self._unlabelled = labelled, unlabelled

    def __iter__(self) -> Iterator[Batch]:
        """Returns the stream itself."""
        return self

    def __next__(self) -> Batch:
        """Reads the next batch of both.

        Raises:
          UserError: a worker process has ended.
        """
        unlabelled = {UNLABELLED + name: values for name, values in next(self._unlabelled).items()}
        return {**next(self._labelled), **unlabelled}

    def close(self) -> None:
        """Ends the worker processes; the stream cannot be read after that."""
        self._labelled.close()
        self._unlabelled.close()

    def get_state(self) -> dict[str, Any]:
        """Returns the position in both streams, as a dictionary that fits JSON."""
        return {**self._labelled.get_state(), _STATE: self._unlabelled.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Moves to a position in both streams.

        Args:
          state: returned by `get_state`, here or in another process.

        Raises:
          UserError: the state belongs to streams with other clips or another seed.
        """
        labelled = dict(state)
        self._unlabelled.set_state(labelled.pop(_STATE))
        self._labelled.set_state(labelled)
