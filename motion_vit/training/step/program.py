"""Everything that a recipe compiles, in one place: for the training loop, the scaling report and benchmarks."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, UInt8
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel
from motion_vit.models.option import option_traits
from motion_vit.models.part_costs import PartCost
from motion_vit.models.registry import model_class
from motion_vit.models.video_model import VideoModel
from motion_vit.training.inputs.cached_features import cached_tokens, check_frozen_encoder, costs_after_encoder
from motion_vit.training.inputs.clip_augmentation import STILLS, clip_augmentation
from motion_vit.training.inputs.normalization import Normalization, normalization
from motion_vit.training.inputs.still_bank import still_bank
from motion_vit.training.inputs.tube_mixing import check_mixable
from motion_vit.training.losses.correspondence import correspondence_losses
from motion_vit.training.losses.registry import make_loss
from motion_vit.training.objectives.debiasing import HEADS, debiasing
from motion_vit.training.objectives.feature_teaching import PROJECTIONS, feature_teaching
from motion_vit.training.objectives.own_parameters import HasParameters, with_own_parameters
from motion_vit.training.objectives.semi_supervised import semi_supervision
from motion_vit.training.objectives.teaching import Teacher, check_teachers, teaching
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.ema import ema_decays
from motion_vit.training.step.objective_registry import make_objective, trace_network
from motion_vit.training.step.optimizer import frozen_mask, learning_rate_schedule, make_optimizer
from motion_vit.training.step.sharding import state_sharding
from motion_vit.training.step.sharding_table import sharding_table
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import (
    BATCH_ENTRIES,
    LogitsFunction,
    StepSettings,
    TrainStep,
    batch_entries,
    batch_shardings,
    make_logits_function,
    make_train_step,
)


@dataclasses.dataclass(frozen=True)
class TrainingProgram:
    """A recipe on its devices, ready to be compiled.

    Attributes:
      config: the recipe.
      traced: the model, and what tracing the network that the recipe trains has told.
      optimizer: of `make_optimizer`.
      schedule: the learning rate of every step.
      normalization: pixels to inputs.
      mesh: the devices.
      state_sharding: `NamedSharding` of every array of the state.
      state_shapes: shape and dtype of every array of the state.
      step: the compiled step, see `make_train_step`: a state and a batch to the next state and metrics.
      logits: the compiled evaluation, see `make_logits_function`.
      tokens: shape and dtype of the tokens of a clip, where the step takes these in the place of clips; None where it
        does not.
      token_logits: the compiled evaluation of such tokens, or None.
      stills: the bank of still frames that augmentation takes; None without one.
      teachers: whom the model learns from; what the step takes beside state and batch is their variables.
      own_parts: what of the objective has parameters of its own, by their name; None where the recipe does without.
      clips_of_class: training clips of each class, as `build_program` was given them.
      total_steps: of the whole run, likewise.
      steps_per_epoch: likewise.
    """

    config: ConfigDict
    traced: TracedModel
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    normalization: Normalization
    mesh: Mesh
    state_sharding: TrainState
    state_shapes: TrainState
    step: TrainStep
    logits: LogitsFunction
    tokens: jax.ShapeDtypeStruct | None = None
    token_logits: LogitsFunction | None = None
    stills: UInt8[np.ndarray, "n size size 3"] | None = None
    teachers: tuple[Teacher, ...] = ()
    own_parts: Mapping[str, HasParameters | None] = dataclasses.field(default_factory=dict)
    clips_of_class: tuple[int, ...] = ()
    total_steps: int = 0
    steps_per_epoch: float = 0.0

    @property
    def model(self) -> VideoModel:
        """The model."""
        return self.traced.model

    @property
    def costs(self) -> dict[str, PartCost]:
        """Costs for one clip of the parts of the network that the step runs."""
        return self.traced.costs if self.tokens is None else costs_after_encoder(self.traced)

    def initial_state(self) -> TrainState:
        """Draws the state before the first step from the recipe's seed, on the devices."""
        # XLA's CPU compiler takes longer to optimise random numbers than to draw them, and they are drawn once.
        on_cpu = self.mesh.devices.flat[0].platform == "cpu"
        options = {"xla_backend_optimization_level": 0} if on_cpu else None
        make = jax.jit(self._make_state, out_shardings=self.state_sharding, compiler_options=options)
        return make(jax.random.key(self.config.seed))

    def abstract_state(self) -> TrainState:
        """Shapes and shardings of the state, to restore a checkpoint into or to compile for."""
        return jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            self.state_shapes,
            self.state_sharding,
        )

    def abstract_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and shardings of the global batch of a step, to compile for."""
        parts, labelled = self.config.accumulation, _clips_of_a_step(self.config)
        shardings = batch_shardings(self.mesh, parts, self._batch_entries)

        def shape_of(name: str) -> jax.ShapeDtypeStruct:
            if name == STILLS and self.stills is not None:
                return jax.ShapeDtypeStruct(self.stills.shape, jnp.uint8, sharding=shardings[name])
            clips = labelled if name in BATCH_ENTRIES else _unlabelled_clips_of_a_step(self.config)
            leading = (clips,) if parts == 1 else (parts, clips // parts)
            if name == "clip" and self.tokens is not None:
                shape, dtype = self.tokens.shape, self.tokens.dtype
                return jax.ShapeDtypeStruct((*leading, *shape), dtype, sharding=shardings[name])
            if name in meshes.CLIP_ENTRIES:
                return jax.ShapeDtypeStruct((*leading, *self.model.clip_shape), jnp.uint8, sharding=shardings[name])
            dtype = jnp.int32 if name.endswith("label") else jnp.float32
            return jax.ShapeDtypeStruct(leading, dtype, sharding=shardings[name])

        return {name: shape_of(name) for name in self._batch_entries}

    @property
    def inputs_beside(self) -> tuple[Any, ...]:
        """Returns the arguments of the step beside state and batch: the variables of teachers, if there are any."""
        return (tuple(teacher.variables for teacher in self.teachers),) if self.teachers else ()

    def lower_step(self) -> jax.stages.Lowered:
        """Traces and lowers the step, without any array.

        Raises:
          UserError: as `make_train_step` at its first call.
        """
        beside = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), self.inputs_beside
        )
        return cast(jax.stages.Wrapped, self.step).lower(self.abstract_state(), self.abstract_batch(), *beside)

    def to_devices(self, host_batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """Puts a batch where the step takes it.

        Args:
          host_batch: this process's rows of `clip` (tokens, where the step takes these), `label` and `weight`, and of
            unlabelled clips where the recipe has them; other entries stay behind.

        Returns:
          The global batch, with the bank of still frames where there is one.
        """
        batch = {name: host_batch[name] for name in self._batch_entries if name != STILLS}
        return meshes.to_devices(batch, self.mesh, self.config.accumulation) | self._stills_on_devices

    @functools.cached_property
    def _stills_on_devices(self) -> dict[str, jax.Array]:
        """The bank of still frames, which is transferred once."""
        if self.stills is None:
            return {}
        bank, sharding = self.stills, meshes.replicated(self.mesh)
        return {STILLS: jax.make_array_from_callback(bank.shape, sharding, lambda index: bank[index])}

    def sharding_table(self) -> str:
        """Tabulates what each sharding rule of the recipe costs a device, see `sharding_table`."""
        return sharding_table(self.abstract_state(), self.optimizer, self.config.sharding_rules)

    @property
    def _batch_entries(self) -> tuple[str, ...]:
        return batch_entries(with_stills=self.stills is not None, unlabelled=bool(self.config.unlabelled.data))

    def _make_state(self, key: PRNGKeyArray) -> TrainState:
        initial_key, step_key = jax.random.split(key)
        variables = with_own_parameters(self.traced.init(initial_key), self.own_parts, initial_key)
        return initial_state(variables, self.optimizer, step_key, averaged=bool(self.config.ema))


def build_program(
    config: ConfigDict,
    mesh: Mesh,
    *,
    clips_of_class: Sequence[int],
    total_steps: int,
    steps_per_epoch: float,
    teachers: Sequence[Teacher] = (),
) -> TrainingProgram:
    """Makes a recipe's program for some devices. Nothing is compiled yet.

    Args:
      config: the recipe.
      mesh: the devices, of `make_mesh(**config.mesh)`.
      clips_of_class: training clips of each class, which some losses weigh by.
      total_steps: steps of the whole run.
      steps_per_epoch: may be a fraction, for recipes that are compiled without data.
      teachers: those that the recipe names, on the devices.

    Returns:
      The program.

    Raises:
      UserError: the recipe does not fit the devices or the teachers, a pattern of it matches no parameter, or its bank
        of still frames cannot be read.
    """
    _check_fits(config, mesh)
    traced = trace_network(config, len(clips_of_class))
    tokens = cached_tokens(config)
    if tokens is not None:
        check_frozen_encoder(traced.model)
    check_teachers(teachers, traced.model)
    model = traced.model
    features = feature_teaching(
        config, model, traced.shapes, [(teacher.name, teacher.model, teacher.variables) for teacher in teachers]
    )
    debiased = debiasing(config, model, traced.shapes)
    own_parts: Mapping[str, HasParameters | None] = {PROJECTIONS: features, HEADS: debiased}
    trained = jax.eval_shape(
        lambda variables: with_own_parameters(variables, own_parts, jax.random.key(0)), traced.shapes
    )
    params = trained["params"]
    schedule = learning_rate_schedule(config, total_steps, steps_per_epoch)
    frozen_patterns = model.frozen_patterns()
    optimizer = make_optimizer(
        config,
        schedule,
        params,
        layer_patterns=model.layer_patterns(),
        frozen_patterns=frozen_patterns,
    )
    shapes = jax.eval_shape(
        lambda variables: initial_state(variables, optimizer, jax.random.key(0), averaged=bool(config.ema)), trained
    )
    sharding = state_sharding(shapes, optimizer, config.sharding_rules, mesh)
    normalise = normalization(config)
    settings = StepSettings(
        optimizer=optimizer,
        schedule=schedule,
        normalization=normalise,
        loss=make_loss(config.loss.name, config.loss.options.to_dict(), clips_of_class),
        augmentation=clip_augmentation(config),
        label_smoothing=config.loss.label_smoothing,
        classification=config.loss.classification,
        correspondence=correspondence_losses(config, model),
        teaching=teaching(config, teachers, normalise, features),
        debiasing=debiased,
        semi_supervision=semi_supervision(config, steps_per_epoch=steps_per_epoch, groups=meshes.batch_parts(mesh)),
        total_steps=total_steps,
        accumulation=config.accumulation,
        frozen=frozen_mask(config, params, frozen_patterns),
        ema_decays=ema_decays(config, params),
        from_tokens=tokens is not None,
    )
    of_params = sharding.variables["params"]
    return TrainingProgram(
        config=config,
        traced=traced,
        optimizer=optimizer,
        schedule=schedule,
        normalization=normalise,
        mesh=mesh,
        state_sharding=sharding,
        state_shapes=shapes,
        step=make_train_step(model, settings, sharding, mesh, make_objective(config, model, settings, mesh)),
        logits=make_logits_function(model, normalise, mesh, of_params),
        tokens=tokens,
        token_logits=None
        if tokens is None
        else make_logits_function(model, normalise, mesh, of_params, from_tokens=True),
        stills=still_bank(config),
        teachers=tuple(teachers),
        own_parts=own_parts,
        clips_of_class=tuple(map(int, clips_of_class)),
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def _check_fits(config: ConfigDict, mesh: Mesh) -> None:
    """Refuses a batch and clips that cannot be split over the devices, or not be mixed on them."""
    clips = _clips_of_a_step(config)
    field = "batch_size" if config.augmentation.repeats == 1 else "batch_size x augmentation.repeats"
    meshes.check_divides(clips, mesh, field, config.accumulation)
    parts = meshes.batch_parts(mesh)
    clip_augmentation(config).check_batch_size(clips // config.accumulation, parts)
    unlabelled = _unlabelled_clips_of_a_step(config)
    if unlabelled and config.unlabelled.mix_weight:
        check_mixable(unlabelled, parts)
    groups = config.model.options.get("batch_norm_groups", 1)
    if isinstance(groups, int) and groups > 0 and clips // config.accumulation % groups:
        raise UserError(
            f"config field model.options.batch_norm_groups is {groups}, but must divide the "
            f"{clips // config.accumulation} clips that the model sees at once: {field} / accumulation."
        )
    if isinstance(groups, int) and groups > 0 and unlabelled % groups:
        raise UserError(
            f"config field model.options.batch_norm_groups is {groups}, but must also divide the {unlabelled} "
            "unlabelled clips of a step: batch_size x unlabelled.per_labelled."
        )
    _check_frames(config, mesh.shape["frames"])


def _check_frames(config: ConfigDict, devices: int) -> None:
    """Refuses clips whose frames cannot be split over so many devices."""
    if config.data.frames % devices:
        raise UserError(
            f"the mesh splits the frames of clips over {devices} devices, which do not divide "
            f"data.frames = {config.data.frames}. Change mesh.frames."
        )
    for name, traits in option_traits(model_class(config.model.name)).items():
        if devices > 1 and traits.effect == "implementation" and config.model.options.get(name) == "pallas":
            raise UserError(
                f"config field model.options.{name} is 'pallas', a kernel that needs whole clips, but the mesh splits "
                f"their frames over {devices} devices. Set mesh.frames = 1, or leave the option out and one is chosen."
            )


def _unlabelled_clips_of_a_step(config: ConfigDict) -> int:
    return config.batch_size * config.unlabelled.per_labelled if config.unlabelled.data else 0


def _clips_of_a_step(config: ConfigDict) -> int:
    return config.batch_size * config.augmentation.repeats
