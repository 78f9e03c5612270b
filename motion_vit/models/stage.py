"""Blocks of one resolution, applied in turn or as a compiled loop."""

import itertools
import operator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.models.frame_sharding import constrain_frames
from motion_vit.models.intermediates import FEATURES, name_output
from motion_vit.models.rematerialization import Remat, rematerialized, rematerialized_module
from motion_vit.modules.emim import COST_VOLUMES

Tokens = Float[Array, "b *places c"]
Output = Float[Array, "b *places2 c2"]
Tree = Any  # nested mappings of arrays


@runtime_checkable
class MakeBlock(Protocol):
    """Makes the block of an index; the keywords are Linen's `name` and `parent`."""

    def __call__(self, index: int, **binding: Any) -> nn.Module:
        """Makes a block, to be called with tokens, a rate of stochastic depth and `train`."""
        ...


class Stage(nn.Module):
    """Blocks of one resolution. Each stores its output as the intermediate `block{i}_output`.

    Variables lie under the names of the blocks, whether the blocks are scanned or not. Scanned, blocks of the same kind
    are compiled once: the program stacks their variables and runs a loop over them. Parameters that are split over
    devices are stacked split, and gathered block by block in the loop. The loop serves training and
    evaluation; initialisation, a look at the intermediates and losses on cost volumes or features apply one block after
    the other.

    The random draws of dropout and stochastic depth depend on the key in both cases, but differ between the two.

    Attributes:
      make_block: makes the block of an index.
      stochastic_depth: for each block, the probability of skipping its residual branches in training.
      period: after how many blocks their kinds repeat.
      runs: numbers of the blocks that begin a run of equal blocks, or of equal periods; 0 first.
      scan_blocks: whether equal blocks run as a loop. Blocks after the last whole period of a run follow it, one by
        one.
      remat: see `motion_vit.models.rematerialization`.
      frame_axis: mesh axis that frames are split over, or None.
    """

    make_block: MakeBlock
    stochastic_depth: tuple[float, ...]
    period: int = 1
    runs: tuple[int, ...] = (0,)
    scan_blocks: bool = False
    remat: Remat = "none"
    frame_axis: str | None = None

    @nn.compact
    def __call__(self, x: Tokens, *, train: bool) -> Output:
        """Applies the blocks."""
        scans = self.scan_blocks and not self.is_initializing() and not self._looks_inside()
        for first, end in itertools.pairwise((*self.runs, len(self.stochastic_depth))):
            done = first
            rounds = (end - first) // self.period
            if scans and rounds > 1:
                x, done = self._scan(x, first, rounds, train), first + rounds * self.period
            for index in range(done, end):
                x = self._apply_block(index, x, train)
        return x

    def _apply_block(self, index: int, x: Tokens, train: bool) -> Output:
        def apply(block: nn.Module, x: Tokens) -> Output:
            return block(x, self.stochastic_depth[index], train=train)

        x = rematerialized_module(apply, self.remat)(self.make_block(index, name=f"block{index}"), x)
        if not self.is_initializing():
            x = constrain_frames(x, self.frame_axis)
        return name_output(self, f"block{index}_output", x)

    def _looks_inside(self) -> bool:
        """Tells if the results of blocks are read or changed from outside."""
        if any(
            self.is_mutable_collection(collection)
            for collection in ("intermediates", "perturbations", FEATURES, COST_VOLUMES)
        ):
            return True
        return self.has_variable("perturbations", "block0_output")

    def _scan(self, x: Tokens, first: int, rounds: int, train: bool) -> Tokens:
        """Runs periods as a loop and puts the new statistics of BatchNorm where each block's belong.

        Args:
          x: tokens that enter the first block.
          first: number of the first block.
          rounds: number of periods.
          train: whether to train.
        """
        blocks = range(first, first + rounds * self.period)
        variables = [self._stacked_variables(blocks[place :: self.period]) for place in range(self.period)]
        rates = None
        if train and any(self.stochastic_depth):
            rates = jnp.asarray(self.stochastic_depth[blocks.start : blocks.stop]).reshape(rounds, self.period)
        keys = None
        if train and self.has_rng("dropout"):
            keys = jax.random.split(self.make_rng("dropout"), (rounds, self.period))

        def one_round(x: Tokens, inputs: tuple[list[Tree], Array | None, Array | None]) -> tuple[Tokens, list[Tree]]:
            variables, rates, keys = inputs
            statistics = []
            for place in range(self.period):
                rate = None if rates is None else rates[place]
                rngs = {} if keys is None else {"dropout": keys[place]}
                x, new = self._detached_block(blocks[place], train)(variables[place], x, rate, rngs)
                statistics.append(new)
            return x, statistics

        x, statistics = lax.scan(one_round, x, (variables, rates, keys))
        for place, index in enumerate(blocks) if train else ():
            own = jax.tree.map(operator.itemgetter(place // self.period), statistics[place % self.period])
            if own:
                self.put_variable("batch_stats", f"block{index}", own)
        return x

    def _stacked_variables(self, indices: range) -> Tree:
        """Stacks the variables of equal blocks along a new first axis."""
        names = [f"block{index}" for index in indices]
        collections = {name: self.variables.get(name, {}) for name in ("params", "batch_stats")}
        trees = [{kind: blocks[name] for kind, blocks in collections.items() if name in blocks} for name in names]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def _detached_block(self, index: int, train: bool) -> Any:
        """Makes a pure function from variables, tokens, rate and keys to tokens and new statistics."""
        block = self.make_block(index, parent=None)

        def apply(variables: Tree, x: Tokens, rate: Array | None, rngs: dict[str, Array]) -> tuple[Tokens, Tree]:
            mutable = ["batch_stats"] if train and self.is_mutable_collection("batch_stats") else []
            known_rate = 0.0 if rate is None else rate  # here, where rematerialisation does not make it an array
            x, updates = block.apply(variables, x, known_rate, train=train, rngs=rngs, mutable=mutable)
            return constrain_frames(x, self.frame_axis), updates.get("batch_stats", {})

        return rematerialized(apply, self.remat)
