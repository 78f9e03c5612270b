"""Endless batches, with Grain: shuffled, drawn at random, and exactly resumable, whatever an example is made of.

The stream of a seed does not depend on the number of threads, worker processes or hosts.
"""

from collections.abc import Iterator
from typing import Any

import grain

from motion_vit.data.batches.batch import Batch, process_options, read_options
from motion_vit.data.batches.batch_ranges import CLASS_BALANCE
from motion_vit.data.batches.class_balanced_order import ClassBalancedOrder
from motion_vit.data.sources.clip_index import index_clips
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.ranges import refusal


class _ClassBalanced(grain.MapDataset):
    """Replaces rows in order by rows in which rare classes come more often; epochs are as long."""

    def __init__(self, parent: grain.MapDataset, order: ClassBalancedOrder) -> None:
        super().__init__(parent)
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int | slice) -> Any:
        return self.slice(index) if isinstance(index, slice) else self._order[index]


class _HostsSideBySide(grain.MapDataset):
    """Orders rows so that `ElasticIterator`, which deals them out in turn, gives a host neighbours in each block.

    A block is a batch or a part of it. It has the same rows in the same order for any number of hosts, and so does
    everything that depends on a clip's place in it: dropout, stochastic depth, which clips are mixed.
    """

    def __init__(self, parent: grain.MapDataset, block: int, hosts: int) -> None:
        super().__init__(parent)
        self._rows, self._block, self._hosts = parent, block, hosts

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        number, place = divmod(index, self._block)
        turn, host = divmod(place, self._hosts)
        return self._rows[number * self._block + host * (self._block // self._hosts) + turn]


class EndlessBatches:
    """An endless stream of batches, reshuffled every epoch; yields this host's part of each batch.

    Its state is the number of the next video, counted over all hosts and epochs, so that it resumes exactly with
    another number of threads, workers or hosts.

    Args:
      source: the videos.
      examples: maps a row of the source, with a generator of random numbers, to the clips of a video: arrays whose
        first axis are these clips.
      fingerprint: SHA-256 of what the examples are made of; a state of another one is refused.
      batch_size: videos per step, over all hosts.
      seed: fixes the order and every draw.
      workers: worker processes; 0 reads in threads of this one.
      threads: those threads; 0 for as many as cores.
      shard: this host's number and the number of hosts.
      parts: number of consecutive parts that hosts divide their rows into, as for gradient accumulation. A part, over
        all hosts, has the same rows for any number of hosts, if each host's rows divide evenly.
      class_balance: 0 takes every clip once an epoch. Above 0, rare classes come more often, up to 1, where all classes
        come alike; see `ClassBalancedOrder`. The classes are read first, see `index_clips`.

    Raises:
      UserError: the batch does not divide among the hosts, or a number is out of range.
    """

    def __init__(
        self,
        source: ClipSource,
        examples: grain.transforms.RandomMap,
        *,
        fingerprint: str,
        batch_size: int,
        seed: int,
        workers: int = 0,
        threads: int = 0,
        shard: tuple[int, int] = (0, 1),
        parts: int = 1,
        class_balance: float = 0.0,
    ) -> None:
        if batch_size % shard[1]:
            raise UserError(f"the batch of {batch_size} videos does not divide among {shard[1]} hosts")
        if not CLASS_BALANCE.holds(class_balance):
            raise UserError(f"{refusal('class_balance', class_balance, CLASS_BALANCE)}.")
        self._name, self._fingerprint, self._seed = source.name, fingerprint, seed
        block = batch_size // parts if batch_size % (parts * shard[1]) == 0 else batch_size
        rows = grain.MapDataset.range(len(source)).seed(seed)
        if class_balance:
            order = ClassBalancedOrder(index_clips(source, progress=shard[0] == 0).labels, class_balance, seed)
            clips = _ClassBalanced(rows, order).repeat()
        else:
            clips = rows.shuffle().repeat()
        self._iterator = iter(
            grain.experimental.ElasticIterator(
                _HostsSideBySide(clips.random_map(examples), block, shard[1]),
                batch_size,
                grain.sharding.ShardOptions(shard_index=shard[0], shard_count=shard[1]),
                read_options=read_options(workers, threads),
                multiprocessing_options=process_options(workers),
            )
        )

    def __iter__(self) -> Iterator[Batch]:
        """Returns the stream itself."""
        return self

    def __next__(self) -> Batch:
        """Reads the next batch: `batch_size * repeats / hosts` clips, those of one video side by side.

        Raises:
          UserError: a worker process has ended; the system may have killed it for its memory.
        """
        try:
            batch = next(self._iterator)
        except RuntimeError as error:
            if "Worker process" not in str(error):
                raise
            raise UserError(
                f"a process that reads videos has ended ({str(error).splitlines()[0]}). The system may have killed it "
                "because memory is short: set fewer data.workers. The same command continues."
            ) from error
        return {name: array.reshape(-1, *array.shape[2:]) for name, array in batch.items()}

    def close(self) -> None:
        """Ends the worker processes; the stream cannot be read after that."""
        self._iterator.close()
        # Kept until Python shuts down, Grain's iterator would complain then.
        del self._iterator

    def get_state(self) -> dict[str, Any]:
        """Returns the position in the stream.

        Returns:
          A dictionary that fits JSON.
        """
        return {**self._iterator.get_state(), "seed": self._seed, "fingerprint": self._fingerprint}

    def set_state(self, state: dict[str, Any]) -> None:
        """Moves to a position in the stream.

        Args:
          state: returned by `get_state`, here or in another process.

        Raises:
          UserError: the state belongs to a stream with other clips or another seed.
        """
        position = dict(state)
        fingerprint, seed = position.pop("fingerprint"), position.pop("seed")
        if fingerprint != self._fingerprint:
            raise UserError(
                f"{self._name} has changed since the run was started: its fingerprint was {fingerprint[:12]} "
                f"and is {self._fingerprint[:12]}. Give the data that the run was started with, or start a new "
                "run in another --workdir."
            )
        if seed != self._seed:
            raise UserError(f"the run was started with seed {seed}, and this is the stream of seed {self._seed}")
        self._iterator.set_state(position)
