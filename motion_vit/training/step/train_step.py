"""One training step, and the logits of a batch, as compiled functions."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from motion_vit.models.video_model import VideoModel
from motion_vit.modules.emim import COST_VOLUMES
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.clip_mean import clip_mean
from motion_vit.training.losses.correspondence import CorrespondenceLosses
from motion_vit.training.losses.registry import Loss
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.ema import update_ema
from motion_vit.training.step.outcome import ForwardPass, Outcome, by_path, correct_clips
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.semi_supervised import UNLABELLED_ENTRIES, SemiSupervision
from motion_vit.training.step.split_frames import splitting_frames
from motion_vit.training.step.split_parameters import gathered_where_read
from motion_vit.training.step.state import TrainState
from motion_vit.training.step.teachers import Teaching

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
"""Takes a state, a batch and, where there are teachers, their variables: the next state, and metrics."""

LogitsFunction = Callable[[Any, UInt8[Array, "b t h w 3"]], Float[Array, "b classes"]]

BATCH_ENTRIES = ("clip", "label", "weight")

# Set the draws of augmentation and of losses apart from those of dropout, which take the step's key itself.
_AUGMENTATION_STREAM, _CORRESPONDENCE_STREAM = 1, 2


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """Settings of a training step, besides the model.

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
      semi_supervision: what is learned from unlabelled clips, or None; with it, `correspondence` and `teaching` are
        None and `accumulation` is 1.
      accumulation: equal parts that the batch is computed in, one after the other. The gradient is that of the whole
        batch. BatchNorm takes the statistics of each part, and the running ones move by the mean over the parts.
      frozen: a tree of bool over the parameters: of which no gradient is computed; {} for none.
      ema_decays: of `ema.ema_decays`; {} keeps no averages.
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
    semi_supervision: SemiSupervision | None = None
    accumulation: int = 1
    frozen: Tree = dataclasses.field(default_factory=dict)
    ema_decays: Tree = dataclasses.field(default_factory=dict)


def make_train_step(
    model: VideoModel, settings: StepSettings, sharding: TrainState[NamedSharding], mesh: Mesh
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

    Returns:
      A function of the state and a batch on the devices that returns the next state and the metrics. The batch has
      `clip` uint8 `[B,T,H,W,3]`, `label` `[B]` and `weight` `[B]`; with `accumulation` above 1 each has a leading axis
      of so many parts. Where there are teachers, the third argument is the tuple of their variables. Where there is
      `semi_supervision`, the batch also has `UNLABELLED_ENTRIES`.

      The metrics are float32 scalars: `loss`, `top1`, `grad_norm`, `learning_rate`, `weight` (the sum of the weights),
      and whatever the model stores in its collection `summaries`, by its path. There are also the unweighted means of
      the losses of `correspondence`, `distillation`, that of the loss of teachers, and those of `semi_supervision`.
      These losses, and what the model stores in `losses`, one number an example, are added to the example's loss.
      `top1` counts a clip as right where the largest logit is that of its largest target: of a mixed clip, the label
      with the larger share. A clip with NaN or infinite logits counts as wrong.

    Raises:
      UserError: frames are to be split and the model cannot; or, when the function is first called, clips are to be
        mixed and a device has no two of them.
    """
    make_outcome = _make_outcome(splitting_frames(model, mesh), settings, sharding, mesh)

    def step(state: TrainState, batch: Batch, teachers: Sequence[Tree] = ()) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        weight = jnp.sum(batch["weight"])
        outcome_of = functools.partial(make_outcome, teachers)
        with meshes.in_context(mesh):
            if settings.accumulation == 1:
                outcome = outcome_of(state, batch, weight, key)
            else:
                outcome = _accumulate(outcome_of, state, batch, weight, key, settings.accumulation)
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
            "top1": outcome.correct / jnp.maximum(weight, 1.0),
            "grad_norm": grad_norm,
            "learning_rate": jnp.asarray(settings.schedule(state.step), jnp.float32),
            "weight": weight,
            **outcome.summaries,
        }
        return TrainState(**kept, key=state.key), metrics

    entries = batch_entries(unlabelled=settings.semi_supervision is not None)
    beside = (settings.teaching.shardings,) if settings.teaching else ()
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(sharding, batch_shardings(mesh, settings.accumulation, entries), *beside),
        out_shardings=(sharding, meshes.replicated(mesh)),
    )


def batch_entries(*, unlabelled: bool) -> tuple[str, ...]:
    """Names what the batch of a step has.

    Args:
      unlabelled: whether it has unlabelled clips, too.
    """
    return BATCH_ENTRIES + (UNLABELLED_ENTRIES if unlabelled else ())


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
    return {name: clips if name in meshes.CLIP_ENTRIES else rows for name in entries}


def _make_outcome(
    model: VideoModel, settings: StepSettings, sharding: TrainState[NamedSharding], mesh: Mesh
) -> Callable[[Sequence[Tree], TrainState, Batch, jax.Array, PRNGKeyArray], Outcome[jax.Array]]:
    """Makes the forward and backward pass of one part of a batch."""
    forward = ForwardPass(model, sharding.params, settings.frozen)
    teaching = settings.teaching and settings.teaching.on(mesh)

    def augment(batch: Batch, key: PRNGKeyArray) -> tuple[jax.Array, jax.Array]:
        return augment_batch(
            batch,
            jax.random.fold_in(key, _AUGMENTATION_STREAM),
            normalization=settings.normalization,
            augmentation=settings.augmentation,
            num_classes=model.num_classes,
            label_smoothing=settings.label_smoothing,
            groups=meshes.batch_parts(mesh),
        )

    def loss_of_labels(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return settings.classification * settings.loss(logits, targets)

    if settings.semi_supervision:
        return settings.semi_supervision.make_outcome(forward, augment, loss_of_labels)

    def loss_of(
        params: Tree,
        batch_stats: Tree,
        clips: jax.Array,
        targets: jax.Array,
        taught: jax.Array | None,
        weights: jax.Array,
        total: jax.Array,
        key: PRNGKeyArray,
    ) -> tuple[jax.Array, tuple[Tree, jax.Array, dict[str, jax.Array]]]:
        collections = [COST_VOLUMES] if settings.correspondence else []
        logits, stored = forward.train(params, batch_stats, clips, key, collections)
        added, summaries = jax.tree.leaves(stored.get("losses", {})), by_path(stored.get("summaries", {}))
        if settings.correspondence:
            stream = jax.random.fold_in(key, _CORRESPONDENCE_STREAM)
            of_clips = settings.correspondence(model, stored[COST_VOLUMES], clips, stream)
            added += [loss.weighted for loss in of_clips.values()]
            summaries |= {name: jnp.mean(loss.plain) for name, loss in of_clips.items()}
        if teaching and taught is not None:
            of_teachers = teaching.loss(logits, taught)
            added.append(teaching.loss.weight * of_teachers)
            summaries["distillation"] = clip_mean(of_teachers, weights)
        loss = clip_mean(sum(added, start=loss_of_labels(logits, targets)), weights, total)
        return loss, (stored.get("batch_stats", {}), logits, summaries)

    def outcome_of(
        teachers: Sequence[Tree], state: TrainState, batch: Batch, total: jax.Array, key: PRNGKeyArray
    ) -> Outcome[jax.Array]:
        clips, targets = augment(batch, key)
        taught = teaching.logits(teachers, clips, targets) if teaching else None
        weights = batch["weight"]
        (loss, (batch_stats, logits, summaries)), grads = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, state.batch_stats, clips, targets, taught, weights, total, key
        )
        grads = jax.lax.with_sharding_constraint(grads, sharding.params)
        return Outcome(loss, grads, correct_clips(logits, targets, weights), batch_stats, summaries)

    return outcome_of


def _accumulate(
    outcome_of: Callable[[TrainState, Batch, jax.Array, PRNGKeyArray], Outcome[jax.Array]],
    state: TrainState,
    batch: Batch,
    total: jax.Array,
    key: PRNGKeyArray,
    parts: int,
) -> Outcome[jax.Array]:
    """Computes the outcome of a batch, part by part along its arrays' first axis, each from the same state."""

    def add(sums: Outcome[jax.Array], part: tuple[Batch, PRNGKeyArray]) -> tuple[Outcome[jax.Array], None]:
        return jax.tree.map(jnp.add, sums, outcome_of(state, part[0], total, part[1])), None

    inputs = batch, jax.random.split(key, parts)

    def first_outcome() -> Outcome[jax.Array]:
        part, key = jax.tree.map(lambda leaf: leaf[0], inputs)
        return outcome_of(state, part, total, key)

    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(first_outcome))
    sums, _ = jax.lax.scan(add, nothing, inputs)
    means = jax.tree.map(lambda leaf: leaf / parts, (sums.batch_stats, sums.summaries))
    return dataclasses.replace(sums, batch_stats=means[0], summaries=means[1])


def make_logits_function(
    model: VideoModel, normalization: Normalization, mesh: Mesh, params_sharding: Tree | None = None
) -> LogitsFunction:
    """Compiles the evaluation of a model, when it is first called.

    Args:
      model: of `motion_vit.create_model`.
      normalization: pixels to inputs.
      mesh: devices that the batch is split over.
      params_sharding: `NamedSharding` of every parameter, which are gathered where a layer reads them. By default all
        are whole on every device.

    Returns:
      A function of the variables and of uint8 clips that returns float32 logits, whole on every device.
    """
    split = splitting_frames(model, mesh)

    def logits(variables: Any, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b classes"]:
        if params_sharding is None:
            read = jax.lax.with_sharding_constraint(variables, meshes.replicated(mesh))
        else:
            read = {**variables, "params": gathered_where_read(variables["params"], params_sharding)}
        with meshes.in_context(mesh):
            return jnp.asarray(split.apply(read, normalization(clips), train=False), jnp.float32)

    return jax.jit(logits, out_shardings=meshes.replicated(mesh))
