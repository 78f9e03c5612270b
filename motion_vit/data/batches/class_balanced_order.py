"""The order of training clips in which rare classes come more often than they are."""

import itertools

import numpy as np
from jaxtyping import Int

# Quotas are counted in parts of a clip, as whole numbers: sums of them are exact, for any number of epochs.
_PARTS = 2**20
_SHUFFLE_STREAM, _CLASS_STREAM = 0, 1


class ClassBalancedOrder:
    """An endless order of rows, epochs of as many rows as there are clips.

    A class with `n` clips has a share of each epoch that is proportional to `n ** (1 - balance)`: as they are with 0,
    the same for all classes with 1. Over the epochs every class gets its share to within one clip. The clips of a class
    are gone through in a random order, and again in another one, so that none comes twice before all others came. A row
    depends on its place in the order and on the seed alone.

    Args:
      labels: class of each row; rows with a negative one are left out.
      balance: from 0 to 1.
      seed: fixes the order.
    """

    def __init__(self, labels: Int[np.ndarray, " n"], balance: float, seed: int) -> None:
        self._seed, self._length = seed, len(labels)
        self._rows_of_class = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        shares = np.array([len(rows) for rows in self._rows_of_class], np.float64) ** (1 - balance)
        ends = np.cumsum(shares) / shares.sum() * self._length * _PARTS
        self._ends = [0, *(round(float(end)) for end in ends[:-1]), self._length * _PARTS]
        self._epochs: dict[int, Int[np.ndarray, " n"]] = {}

    def __len__(self) -> int:
        """Returns the number of rows of an epoch."""
        return self._length

    def __getitem__(self, place: int) -> int:
        """Returns the row at a place, counted through all epochs."""
        epoch, within = divmod(place, self._length)
        rows = self._epochs.get(epoch)
        if rows is None:
            rows = self.epoch(epoch)
            # One assignment, so that other threads see the old mapping or the new one. Those that read ahead stand in
            # one epoch and the next: both are kept.
            self._epochs = dict([*list(self._epochs.items())[-1:], (epoch, rows)])
        return int(rows[within])

    def epoch(self, number: int) -> Int[np.ndarray, " n"]:
        """Returns the rows of an epoch.

        Args:
          number: of the epoch, from 0.

        Returns:
          Row numbers, in random order.
        """
        starts, ends = self._drawn(number), self._drawn(number + 1)
        spans = zip(self._rows_of_class, starts, ends, strict=True)
        rows = np.concatenate([self._of_class(label, *span) for label, span in enumerate(spans)])
        return np.random.default_rng([self._seed, _SHUFFLE_STREAM, number]).permutation(rows)

    def _drawn(self, epochs: int) -> list[int]:
        """Counts the rows of each class in the first epochs: rounded sums of quotas, whose own sum is exact."""
        places = [(epochs * end + _PARTS // 2) // _PARTS for end in self._ends]
        return [end - start for start, end in itertools.pairwise(places)]

    def _of_class(self, label: int, rows: Int[np.ndarray, " k"], start: int, end: int) -> Int[np.ndarray, " m"]:
        """Returns the rows of a class from one of its places to another, in the orders that it is gone through in."""
        first, last = start // len(rows), -(-end // len(rows))
        orders = [
            np.random.default_rng([self._seed, _CLASS_STREAM, label, turn]).permutation(rows)
            for turn in range(first, last)
        ]
        through = np.concatenate([np.zeros(0, rows.dtype), *orders])
        return through[start - first * len(rows) : end - first * len(rows)]
