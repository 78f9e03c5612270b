"""Tells what a run of a recipe will be, in seconds: sizes, steps, learning rates and memory, without compiling a step.

`motion_vit.training.ahead_of_time` compiles the step, and knows its memory from the compiler.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel
from motion_vit.outside_text import for_terminal
from motion_vit.training.inputs.cached_features import cached_tokens, costs_after_encoder
from motion_vit.training.loop.plan import Plan
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.clips import open_sources
from motion_vit.training.step.objective_registry import trace_network
from motion_vit.training.step.optimizer import frozen_mask, learning_rate_schedule, make_optimizer
from motion_vit.training.step.state import TrainState, initial_state

ASSUMED_CLASSES = 400
"""Classes of a recipe whose data are not there, where no number is given: those of Kinetics-400."""

# Steps of an epoch where the data are not there: learning rates follow epochs, however many steps these have.
_STEPS_PER_EPOCH = 1000
_SHARES = (0.25, 0.5, 0.75)


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """Facts of a split.

    Attributes:
      name: of the source.
      videos: how many it has.
      classes: how many its labels tell apart.
      fewest: videos of the smallest class.
      most: videos of the largest class.
    """

    name: str
    videos: int
    classes: int
    fewest: int
    most: int

    @classmethod
    def of(cls, source: ClipSource) -> "DataFacts":
        """Counts the clips of a source."""
        counts = source.clips_of_class
        return cls(source.name, len(source), len(source.label_names), min(counts), max(counts))


@dataclasses.dataclass(frozen=True)
class Outline:
    """A run that has not begun. Bytes are of all devices together, as if there were one.

    Attributes:
      model: its name.
      classes: what it tells apart.
      classes_assumed: whether that is a guess, because there is no data.
      clip_shape: frames, height, width and channels of the input.
      clips: clips of a step.
      clips_at_once: clips that are computed at once: those of a step divided by `accumulation`.
      parameters: how many there are.
      trained: how many of them are not frozen.
      multiply_adds: of a forward pass of one clip.
      training: facts of the training data, None if they are not there.
      validation: facts of the validation data, None without any.
      no_data: why there is no data, "" if there is.
      steps_per_epoch: full batches of the training data, None without.
      steps: of the whole run, None without data.
      learning_rates: pairs of an epoch and the learning rate there.
      parameter_bytes: memory of the parameters.
      optimizer_bytes: memory of the moments of the optimizer.
      other_bytes: memory of running statistics, averages and counters.
      gradient_bytes: memory of the gradient.
      batch_bytes: memory of the pixels of a step, or of the tokens that it takes in their place.
      activation_bytes: outputs of all layers for the clips at once: an estimate, see `format_outline`.
    """

    model: str
    classes: int
    classes_assumed: bool
    clip_shape: tuple[int, ...]
    clips: int
    clips_at_once: int
    parameters: int
    trained: int
    multiply_adds: int
    training: DataFacts | None
    validation: DataFacts | None
    no_data: str
    steps_per_epoch: int | None
    steps: int | None
    learning_rates: tuple[tuple[float, float], ...]
    parameter_bytes: int
    optimizer_bytes: int
    other_bytes: int
    gradient_bytes: int
    batch_bytes: int
    activation_bytes: int

    @property
    def state_bytes(self) -> int:
        """Bytes that a step keeps for the next one."""
        return self.parameter_bytes + self.optimizer_bytes + self.other_bytes

    def to_dict(self) -> dict[str, Any]:
        """Returns the outline as nested mappings for JSON."""
        return {**dataclasses.asdict(self), "state_bytes": self.state_bytes}


def outline(config: ConfigDict, *, num_classes: int | None = None) -> Outline:
    """Traces a recipe's model and optimizer and looks at its data; nothing is compiled, and no device is used.

    Args:
      config: the recipe; its data need not exist.
      num_classes: classes of the model; by default those of the data, or `ASSUMED_CLASSES` where it is not there.

    Returns:
      The outline.

    Raises:
      UserError: the recipe cannot be used, or its batch is larger than its data.
    """
    validate_fields(config)
    training, validation, no_data = _data(config)
    classes = num_classes or (len(training.label_names) if training else ASSUMED_CLASSES)
    plan = Plan.of(config, training) if training else None
    steps_per_epoch = plan.steps_per_epoch if plan else _STEPS_PER_EPOCH
    steps = plan.total if plan else max(round(config.epochs * steps_per_epoch), 1)
    traced = trace_network(config, classes)
    schedule = learning_rate_schedule(config, steps, steps_per_epoch)
    state = _state(config, traced)
    frozen = frozen_mask(config, traced.shapes["params"], traced.model.frozen_patterns())
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)]
    trained = [size for size, fixed in zip(sizes, jax.tree.leaves(frozen), strict=True) if not fixed]
    clips = config.batch_size * config.augmentation.repeats
    at_once = math.ceil(clips / config.accumulation)
    tokens = cached_tokens(config)
    costs = (traced.costs if tokens is None else costs_after_encoder(traced)).values()
    of_clip = math.prod(traced.model.clip_shape) if tokens is None else _bytes(tokens)
    return Outline(
        model=config.model.name,
        classes=classes,
        classes_assumed=training is None and not num_classes,
        clip_shape=tuple(traced.model.clip_shape),
        clips=clips,
        clips_at_once=at_once,
        parameters=sum(sizes),
        trained=sum(trained),
        multiply_adds=sum(cost.multiply_adds for cost in costs),
        training=DataFacts.of(training) if training else None,
        validation=DataFacts.of(validation) if validation else None,
        no_data=no_data,
        steps_per_epoch=plan.steps_per_epoch if plan else None,
        steps=plan.total if plan else None,
        learning_rates=tuple(
            (epoch, float(schedule(min(round(epoch * steps_per_epoch), steps - 1))))
            for epoch in _epochs(config, steps / steps_per_epoch)
        ),
        parameter_bytes=_bytes(state.params),
        optimizer_bytes=_bytes(state.opt_state),
        other_bytes=_bytes([state.step, state.batch_stats, state.ema]),
        gradient_bytes=sum(trained) * 4,
        batch_bytes=clips * of_clip,
        activation_bytes=at_once * sum(cost.activation_bytes for cost in costs),
    )


def classes_of(config: ConfigDict, num_classes: int | None) -> int:
    """Decides for how many classes a recipe is looked at.

    Args:
      config: the recipe.
      num_classes: a number that somebody asks for, or None.

    Returns:
      That number, or that of the recipe's data, or `ASSUMED_CLASSES` where these are not there.
    """
    if num_classes:
        return num_classes
    training, _, _ = _data(config)
    return len(training.label_names) if training else ASSUMED_CLASSES


def _data(config: ConfigDict) -> tuple[ClipSource | None, ClipSource | None, str]:
    """Opens the data of a recipe, or says why not."""
    try:
        return *open_sources(config), ""
    except UserError as error:
        return None, None, str(error)


def _state(config: ConfigDict, traced: TracedModel) -> TrainState[jax.ShapeDtypeStruct]:
    """Returns the shapes of the state; the optimizer's do not depend on the length of the run."""
    optimizer = make_optimizer(
        config,
        lambda step: 0.0,
        traced.shapes["params"],
        layer_patterns=traced.model.layer_patterns(),
        frozen_patterns=traced.model.frozen_patterns(),
    )
    shapes: TrainState[jax.ShapeDtypeStruct] = jax.eval_shape(
        lambda variables: initial_state(variables, optimizer, jax.random.key(0), averaged=bool(config.ema)),
        traced.shapes,
    )
    return shapes


def _epochs(config: ConfigDict, last: float) -> list[float]:
    """Chooses the epochs whose learning rates tell most: the beginning, the end of the warm-up, falls, the end."""
    chosen = {0.0, config.optimizer.warmup_epochs, last, *(share * last for share in _SHARES)}
    if config.optimizer.schedule == "step":
        chosen |= set(config.optimizer.decay_epochs[:8])
    return sorted(epoch for epoch in chosen if epoch <= last)


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def format_outline(run: Outline) -> str:
    """Formats an outline as text for people.

    Args:
      run: what `outline` found.

    Returns:
      Lines of text. MB and GB are 1e6 and 1e9 bytes.
    """
    frames, height, width, channels = run.clip_shape
    fixed = f", of which {run.parameters - run.trained:,} are frozen" if run.trained < run.parameters else ""
    guess = " (assumed; --classes N for others)" if run.classes_assumed else ""
    parts = f", {run.clips_at_once} at once" if run.clips_at_once < run.clips else ""
    lines = [
        f"model      {run.model}: {run.parameters:,} parameters{fixed}; {counted(run.classes, 'class')}{guess}",
        f"input      {counted(frames, 'frame')} of {height} x {width} x {channels}; a step takes "
        f"{counted(run.clips, 'clip')}{parts}, {run.clips * frames:,} frames",
        f"compute    {run.multiply_adds / 1e9:.3g} GMACs a clip forward; about "
        f"{6 * run.multiply_adds * run.clips / 1e12:.3g} TFLOP a step, with the backward pass",
        *_data_lines(run),
        "rates      " + ", ".join(f"{rate:.3g} at epoch {epoch:.4g}" for epoch, rate in run.learning_rates),
        "",
        "memory                              MB",
    ]
    rows = (
        ("parameters", run.parameter_bytes),
        ("moments of the optimizer", run.optimizer_bytes),
        ("statistics, averages, counters", run.other_bytes),
        ("gradient", run.gradient_bytes),
        ("input of a step", run.batch_bytes),
        ("activations, a rough estimate", run.activation_bytes),
    )
    lines += [f"  {name:<31} {size / 1e6:10,.1f}" for name, size in rows]
    lines += [
        f"  {'all':<31} {sum(size for _, size in rows) / 1e6:10,.1f}",
        "",
        "The estimate is the outputs of all layers for the clips that are computed at once. Compilers may keep fewer,",
        "or two to three times as many bytes, as on CPU; remat keeps fewer. All is as on one device; a mesh splits it.",
        "--compile asks the compiler, for this machine; --topology NAME for others.",
    ]
    return "\n".join(lines)


def _data_lines(run: Outline) -> Sequence[str]:
    if run.training is None:
        return [f"data       {for_terminal(run.no_data.splitlines()[0])}", "steps      depend on the data"]
    lines = [f"data       training: {_facts(run.training)}"]
    if run.validation:
        lines.append(f"           validation: {_facts(run.validation)}")
    return [*lines, f"steps      {run.steps_per_epoch:,} an epoch, {run.steps:,} in all"]


def _facts(data: DataFacts) -> str:
    share = f"{data.fewest:,}" if data.fewest == data.most else f"{data.fewest:,} to {data.most:,}"
    return (
        f"{for_terminal(data.name)}, {counted(data.videos, 'video', ',')} of {counted(data.classes, 'class')}, "
        f"{share} a class"
    )
