"""One training step, and the logits of a batch, as compiled functions."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from motion_vit.models.video_model import VideoModel
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, STILLS, ClipAugmentation
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.clip_mean import clip_mean
from motion_vit.training.losses.correspondence import CorrespondenceLosses
from motion_vit.training.losses.registry import Loss, takes_progress
from motion_vit.training.objectives.classification import Classification
from motion_vit.training.objectives.debiasing import Debiasing
from motion_vit.training.objectives.frame_token_classification import FrameTokenClassification
from motion_vit.training.objectives.objective import Judgement, Objective, StepContext
from motion_vit.training.objectives.semi_supervised import (
    UNLABELLED_ENTRIES,
    SemiSupervisedClassification,
    SemiSupervision,
)
from motion_vit.training.objectives.teaching import Teaching
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.ema import update_ema
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.split_parameters import gathered_where_read
from motion_vit.training.step.state import Leaf, TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
"""Takes a state, a batch and, where there are teachers, their variables: the next state, and metrics."""

LogitsFunction = Callable[[Any, Shaped[Array, "b *clip"]], Float[Array, "b classes"]]
"""Takes variables and uint8 clips `[b,t,h,w,3]`, or tokens of frames in their place."""

BATCH_ENTRIES = ("clip", "label", "weight")
"""What a batch has for each labelled clip."""

# Sets the draws of augmentation and masks apart from those of dropout, which take the step's key itself.
_INPUT_STREAM = 1


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """Settings of a training step, besides the model; from `normalization` to `semi_supervision` those of a classifier.

    Attributes:
      optimizer: of `make_optimizer`.
      schedule: the learning rate of every step, to report it.
      normalization: pixels to inputs.
      loss: of the labels, see `motion_vit.training.losses.registry`.
      augmentation: what is done to the clips on the device, after normalisation.
      label_smoothing: see `smoothed_targets`.
      classification: weight of `loss`.
      correspondence: losses on the model's cost volumes, or None.
      teaching: what is learned from teachers, or None.
      debiasing: how features are debiased, or None; with it, `accumulation` is 1.
      semi_supervision: what is learned from unlabelled clips, or None; with it, `correspondence`, `teaching` and
        `debiasing` are None and `accumulation` is 1.
      total_steps: steps of the whole run; only a loss that changes over training needs them.
      accumulation: equal parts that the batch is computed in, one after the other. The gradient is that of the whole
        batch. BatchNorm takes the statistics of each part, and the running ones move by the mean over the parts.
      frozen: a tree of bool over the parameters: of which no gradient is computed; {} for none.
      ema_decays: of `ema.ema_decays`; {} keeps no averages.
      from_tokens: whether `clip` of a batch holds tokens of frames, see `FrameTokenClassification`; with it, nothing
        augments, teaches, is debiased or is compared on cost volumes.
    """

    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    normalization: Normalization
    loss: Loss
    augmentation: ClipAugmentation = NO_AUGMENTATION
    label_smoothing: float = 0.0
    classification: float = 1.0
    correspondence: CorrespondenceLosses | None = None
    teaching: Teaching | None = None
    debiasing: Debiasing | None = None
    semi_supervision: SemiSupervision | None = None
    total_steps: int = 0
    accumulation: int = 1
    frozen: Tree = dataclasses.field(default_factory=dict)
    ema_decays: Tree = dataclasses.field(default_factory=dict)
    from_tokens: bool = False


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Outcome(Generic[Leaf]):
    """The contribution of one part of a batch, or its shapes; those of parts add up.

    Attributes:
      loss: sum of the losses, divided by the weight of the whole batch.
      grads: its gradient.
      measures: sums of the objective's measures, each divided by the weight of the whole batch.
      batch_stats: new running statistics, of which the mean is taken instead.
      summaries: numbers of the objective by name, of which the mean is taken instead.
    """

    loss: Leaf
    grads: Tree
    measures: dict[str, Leaf]
    batch_stats: Tree
    summaries: dict[str, Leaf]


def make_train_step(
    model: VideoModel,
    settings: StepSettings,
    sharding: TrainState[NamedSharding],
    mesh: Mesh,
    objective: Objective | None = None,
) -> TrainStep:
    """Compiles the training step.

    The step gives up its state's memory to the next state. If the loss or the gradient is not finite, the next state
    is the old one. The random draws of a step depend on the state's key and number alone. Which clips are mixed with
    each other also depends on the number of devices, because a clip's partner is on its own device.

    Parameters that are split over devices are gathered where a layer reads them, so that no activation travels
    instead. Their gradients are summed and split again there. Of blocks in a loop that are computed again in the
    backward pass, no more than one is whole.

    Args:
      model: a model with the fields of `motion_vit.create_model`.
      settings: what the step does.
      sharding: `NamedSharding` of every array of the state, of `state_sharding`.
      mesh: devices that the batch is split over.
      objective: what is minimised, of the model as `model_on_mesh` returns it; by default the losses of a classifier
        that the settings name.

    Returns:
      A function of the state and a batch on the devices that returns the next state and the metrics. The batch has
      `clip` uint8 `[B,T,H,W,3]` (tokens `[B,frames,tokens,C]` where the settings are `from_tokens`), `label` `[B]` and
      `weight` `[B]`; with `accumulation` above 1 each has a leading axis of so many parts. Where `augmentation.still`
      is "bank" it has also `stills`, uint8 `[N,H,W,3]`, without that axis, and with `semi_supervision`
      `UNLABELLED_ENTRIES`. Where there are teachers, the third argument is the tuple of their variables.

      The metrics are float32 scalars: `loss`, `grad_norm`, `learning_rate`, `weight` (the sum of the weights), and the
      measures and summaries of the objective, such as `top1`: see `motion_vit.training.objectives.classification`.

    Raises:
      UserError: frames are to be split and the model cannot; or, when the function is first called, clips are to be
        mixed and a device has no two of them.
      ValueError: the loss changes over training, and `total_steps` is not known.
    """
    if takes_progress(settings.loss) and settings.total_steps < 1:
        raise ValueError("the loss changes over training, of which total_steps must say how long it is")
    minimised = objective or classification_of(settings, model_on_mesh(model, mesh), mesh)
    outcome_of = _make_outcome(minimised, settings, sharding)

    def step(state: TrainState, batch: Batch, teachers: Sequence[Tree] = ()) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        context = _context(state, teachers, settings, sharding)
        weight = jnp.sum(batch["weight"])
        with meshes.in_context(mesh):
            if settings.accumulation == 1:
                outcome = outcome_of(state, batch, context, weight, key)
            else:
                outcome = _accumulate(outcome_of, state, batch, context, weight, key, settings.accumulation)
        grad_norm = optax.tree.norm(outcome.grads)
        finite = jnp.isfinite(outcome.loss) & jnp.isfinite(grad_norm)

        def keep_finite(new: Tree, old: Tree) -> Tree:
            # `jnp.where` takes twice as long to trace, for hundreds of arrays.
            return jax.tree.map(functools.partial(jax.lax.select, finite), new, old)

        updates, opt_state = settings.optimizer.update(outcome.grads, state.opt_state, state.params)
        # The averages are of the parameters that are kept, so that the compiler need not hold others beside them.
        params = keep_finite(optax.apply_updates(state.params, updates), state.params)
        kept = {
            "step": keep_finite(state.step + 1, state.step),
            "params": params,
            "batch_stats": keep_finite(outcome.batch_stats, state.batch_stats),
            "opt_state": keep_finite(opt_state, state.opt_state),
            "ema": keep_finite(update_ema(state.ema, params, settings.ema_decays), state.ema),
        }
        metrics = {
            "loss": outcome.loss,
            **outcome.measures,
            "grad_norm": grad_norm,
            "learning_rate": jnp.asarray(settings.schedule(state.step), jnp.float32),
            "weight": weight,
            **outcome.summaries,
        }
        return TrainState(**kept, key=state.key), metrics

    entries = batch_entries(
        with_stills=settings.augmentation.still == "bank", unlabelled=settings.semi_supervision is not None
    )
    beside = (settings.teaching.shardings,) if settings.teaching else ()
    return compiled_step(step, sharding, batch_shardings(mesh, settings.accumulation, entries), mesh, *beside)


def compiled_step(
    step: TrainStep,
    sharding: TrainState[NamedSharding],
    batch: dict[str, NamedSharding],
    mesh: Mesh,
    *beside: Any,
) -> TrainStep:
    """Lets a step be compiled when it is first called.

    Args:
      step: takes a state, whose memory it is given, a batch, and what `beside` is of; returns a state and metrics.
      sharding: `NamedSharding` of every array of the state.
      batch: that of every entry of the batch.
      mesh: the devices.
      *beside: those of further arguments.

    Returns:
      The step.
    """
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(sharding, batch, *beside),
        out_shardings=(sharding, meshes.replicated(mesh)),
        compiler_options=meshes.compiler_options(mesh),
    )


def batch_entries(*, with_stills: bool = False, unlabelled: bool = False) -> tuple[str, ...]:
    """Names what the batch of a step has.

    Args:
      with_stills: whether it has a bank of still frames, too.
      unlabelled: whether it has unlabelled clips, too.
    """
    return (*BATCH_ENTRIES, *(UNLABELLED_ENTRIES if unlabelled else ()), *((STILLS,) if with_stills else ()))


def batch_shardings(
    mesh: Mesh, accumulation: int = 1, entries: Sequence[str] = BATCH_ENTRIES
) -> dict[str, NamedSharding]:
    """Returns how the batch of a step lies on the devices.

    Args:
      mesh: the devices.
      accumulation: parts that a step's batch is computed in.
      entries: of `batch_entries`.

    Returns:
      The sharding of each entry.
    """
    rows, clips = meshes.batch_sharding(mesh, accumulation), meshes.clip_sharding(mesh, accumulation)
    shardings = {name: clips if name in meshes.CLIP_ENTRIES else rows for name in entries}
    return shardings | ({STILLS: meshes.replicated(mesh)} if STILLS in entries else {})


def _context(
    state: TrainState, teachers: Sequence[Tree], settings: StepSettings, sharding: TrainState[NamedSharding]
) -> StepContext:
    """Gathers what an objective may read of a step; parameters that are split gather where a layer reads them."""
    of_teachers = settings.teaching.shardings if settings.teaching else ()
    return StepContext(
        step=state.step,
        progress=state.step.astype(jnp.float32) / max(settings.total_steps, 1),
        batch_stats=state.batch_stats,
        averages=gathered_where_read(state.ema, sharding.ema),
        teachers=tuple(
            {**variables, "params": gathered_where_read(variables["params"], its["params"])}
            for variables, its in zip(teachers, of_teachers, strict=True)
        ),
    )


def classification_of(
    settings: StepSettings, model: VideoModel, mesh: Mesh
) -> Classification | SemiSupervisedClassification | FrameTokenClassification:
    """Makes the objective of a classifier from the settings of a step.

    Args:
      settings: its losses and what is done to its clips.
      model: the classifier, as `model_on_mesh` returns it.
      mesh: devices that a batch is split over.

    Raises:
      UserError: frames are to be split and a teacher cannot.
    """
    teaching = settings.teaching
    if teaching:
        teachers = [dataclasses.replace(each, model=model_on_mesh(each.model, mesh)) for each in teaching.teachers]
        teaching = dataclasses.replace(teaching, teachers=teachers)
    classification = Classification(
        model=model,
        normalization=settings.normalization,
        loss=settings.loss,
        augmentation=settings.augmentation,
        label_smoothing=settings.label_smoothing,
        weight=settings.classification,
        correspondence=settings.correspondence,
        teaching=teaching,
        debiasing=settings.debiasing,
        groups=meshes.batch_parts(mesh),
    )
    if settings.from_tokens:
        return FrameTokenClassification(classification)
    if settings.semi_supervision is None:
        return classification
    return SemiSupervisedClassification(classification, settings.semi_supervision)


def _make_outcome(
    objective: Objective, settings: StepSettings, sharding: TrainState[NamedSharding]
) -> Callable[[TrainState, Batch, StepContext, jax.Array, PRNGKeyArray], _Outcome[jax.Array]]:
    """Makes the forward and backward pass of one part of a batch."""

    def loss_of(
        params: Tree,
        batch_stats: Tree,
        inputs: Any,
        weights: jax.Array,
        total: jax.Array,
        context: StepContext,
        key: PRNGKeyArray,
    ) -> tuple[jax.Array, Judgement]:
        read = gathered_where_read(_without_gradient(params, settings.frozen), sharding.params)
        judgement = objective.judge({"params": read, "batch_stats": batch_stats}, inputs, context, key)
        return clip_mean(judgement.losses, weights, total) + judgement.added, judgement

    def outcome_of(
        state: TrainState, batch: Batch, context: StepContext, total: jax.Array, key: PRNGKeyArray
    ) -> _Outcome[jax.Array]:
        inputs = objective.inputs(batch, context, jax.random.fold_in(key, _INPUT_STREAM))
        weights = batch["weight"]
        (loss, judgement), grads = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, state.batch_stats, inputs, weights, total, context, key
        )
        measures = {name: clip_mean(each, weights, total) for name, each in judgement.measures.items()}
        grads = jax.lax.with_sharding_constraint(grads, sharding.params)
        return _Outcome(loss, grads, measures, judgement.batch_stats, judgement.summaries)

    return outcome_of


def _accumulate(
    outcome_of: Callable[[TrainState, Batch, StepContext, jax.Array, PRNGKeyArray], _Outcome[jax.Array]],
    state: TrainState,
    batch: Batch,
    context: StepContext,
    total: jax.Array,
    key: PRNGKeyArray,
    parts: int,
) -> _Outcome[jax.Array]:
    """Computes the outcome of a batch, part by part along its arrays' first axis, each from the same state."""
    shared = {name: values for name, values in batch.items() if name not in BATCH_ENTRIES}

    def add(sums: _Outcome[jax.Array], part: tuple[Batch, PRNGKeyArray]) -> tuple[_Outcome[jax.Array], None]:
        return jax.tree.map(jnp.add, sums, outcome_of(state, part[0] | shared, context, total, part[1])), None

    inputs = {name: batch[name] for name in BATCH_ENTRIES}, jax.random.split(key, parts)

    def first_outcome() -> _Outcome[jax.Array]:
        part, key = jax.tree.map(lambda leaf: leaf[0], inputs)
        return outcome_of(state, part | shared, context, total, key)

    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(first_outcome))
    sums, _ = jax.lax.scan(add, nothing, inputs)
    means = jax.tree.map(lambda leaf: leaf / parts, (sums.batch_stats, sums.summaries))
    return dataclasses.replace(sums, batch_stats=means[0], summaries=means[1])


def _without_gradient(params: Tree, frozen: Tree) -> Tree:
    """Makes the frozen parameters constants to the gradient."""
    if not frozen:
        return params
    return jax.tree.map(lambda leaf, stays: jax.lax.stop_gradient(leaf) if stays else leaf, params, frozen)


def model_on_mesh(model: VideoModel, mesh: Mesh) -> VideoModel:
    """Returns the model as it runs on a mesh: one that keeps frames where they are, if they are split.

    Args:
      model: a model of `motion_vit.create_model`.
      mesh: the devices.

    Raises:
      UserError: frames are to be split and the model cannot.
    """
    return model if mesh.shape["frames"] == 1 else model.with_frames_split("frames")


def make_logits_function(
    model: VideoModel,
    normalization: Normalization,
    mesh: Mesh,
    params_sharding: Tree | None = None,
    *,
    from_tokens: bool = False,
) -> LogitsFunction:
    """Compiles the evaluation of a model, when it is first called.

    Args:
      model: of `motion_vit.create_model`.
      normalization: pixels to inputs.
      mesh: devices that the batch is split over.
      params_sharding: `NamedSharding` of every parameter, which are gathered where a layer reads them. By default all
        are whole on every device.
      from_tokens: whether clips are given as tokens of frames, see `motion_vit.models.frame_encoder`.

    Returns:
      A function of the variables and of uint8 clips, or tokens, that returns float32 logits, whole on every device.
    """
    split = model_on_mesh(model, mesh)

    def logits(variables: Any, clips: Shaped[Array, "b *clip"]) -> Float[Array, "b classes"]:
        if params_sharding is None:
            read = jax.lax.with_sharding_constraint(variables, meshes.replicated(mesh))
        else:
            read = {**variables, "params": gathered_where_read(variables["params"], params_sharding)}
        with meshes.in_context(mesh):
            if from_tokens:
                found = split.apply(read, clips, train=False, method="classify_frame_tokens")
            else:
                found = split.apply(read, normalization(clips), train=False)
            return jnp.asarray(found, jnp.float32)

    return jax.jit(logits, out_shardings=meshes.replicated(mesh), compiler_options=meshes.compiler_options(mesh))
