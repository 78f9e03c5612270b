"""Evaluates a checkpoint that adapts itself to the videos as they come, beside the same one without adaptation."""

import dataclasses
import os
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray, UInt8

from motion_vit.counts import counted
from motion_vit.data.batches.adaptation_clips import adaptation_clips
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.training.adaptation.adaptation_step import (
    AdaptationState,
    AdaptationStep,
    AdaptedVideo,
    make_adaptation_step,
)
from motion_vit.training.adaptation.options import AdaptationOptions
from motion_vit.training.adaptation.source_statistics import SourceStatistics
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate import ViewOptions
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.step.train_step import LogitsFunction
from motion_vit.zoo.load import as_trained


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AdaptedEvaluation(CheckpointEvaluation):
    """The result of evaluating a checkpoint that adapts itself; videos are in the order in which they came.

    Attributes:
      unadapted: the same clips, classified by the checkpoint as it is.
      adaptation: how it was adapted.
      chosen: those that the authors' choice may have filled in.
      layers: paths of the aligned layers; () but for "vitta".
      losses: of each video by name, in the order of the videos.
      steps_left_out: number of videos that left the model as it was, for a NaN or infinite loss, gradient or statistic.
    """

    unadapted: CheckpointEvaluation
    adaptation: AdaptationOptions
    chosen: dict[str, float]
    layers: tuple[str, ...]
    losses: dict[str, Float[np.ndarray, " videos"]]
    steps_left_out: int

    def summary_of_adaptation(self) -> str:
        """Returns a sentence that compares the accuracy with that of the checkpoint as it is."""
        left_out = ""
        if self.steps_left_out:
            left_out = f"; {counted(self.steps_left_out, 'step')} left out, as not finite"
        return (
            f"top-1 {100 * self.unadapted.top1:.2f} % as it is, {100 * self.top1:.2f} % adapted by "
            f"{self.adaptation.method}{left_out}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON, with that of the checkpoint as it is."""
        return {
            **super().to_dict(),
            "adaptation": {
                **dataclasses.asdict(self.adaptation),
                **self.chosen,
                "aligned_layers": list(self.layers),
                "steps_left_out": self.steps_left_out,
            },
            "unadapted": self.unadapted.to_dict(),
        }


def adapt_and_evaluate(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    options: AdaptationOptions,
    *,
    statistics: SourceStatistics | None = None,
    which: Which = "last",
    ema: bool | None = None,
    **evaluation: Any,
) -> AdaptedEvaluation:
    """Measures the accuracy of a checkpoint that takes a step of adaptation on each video before it classifies it.

    Args:
      checkpoint: as of `evaluate_checkpoint`. It stays as it is.
      data: likewise.
      options: method of adaptation and its settings.
      statistics: those of the source data; "vitta" needs them.
      which: as of `evaluate_checkpoint`.
      ema: likewise.
      **evaluation: `clips`, `crops`, `frame_order`, `workers` and `corruption`, likewise.

    Returns:
      The result with adaptation, which holds that without.

    Raises:
      UserError: as `Adapter`, or the checkpoint or the data cannot be used.
    """
    trained = as_trained(checkpoint, which=which, ema=ema)
    return Adapter(trained, options, statistics).evaluate(data, which=which, **evaluation)


class Adapter:
    """A trained model with its step of adaptation, which is compiled once for several evaluations.

    Every video counts once, right after the step on it (the authors' online protocol). Steps follow each other, on one
    device.

    Args:
      trained: the model. It stays as it is, and every evaluation begins with it.
      options: method of adaptation and its settings.
      statistics: those of the source data; "vitta" needs them.

    Attributes:
      trained: as given.
      options: as given.

    Raises:
      UserError: there are several processes; the model knows a single class, or has nothing to adapt; or the statistics
        cannot be used with it.
    """

    def __init__(
        self, trained: TrainedModel, options: AdaptationOptions, statistics: SourceStatistics | None = None
    ) -> None:
        if jax.process_count() > 1:
            raise UserError(
                f"adaptation takes one video after the other, in one process; this run has {jax.process_count()}. "
                "Start it alone, or set JAX_NUM_PROCESSES=1."
            )
        check_several_classes(trained)
        self.trained, self.options = trained, options
        source = None if statistics is None else statistics.layers
        self._step = make_adaptation_step(trained.model, trained.variables, options, source)
        self._variables = jax.device_put(trained.variables, jax.devices()[0])
        self._take_step, self._plain_logits = _compiled(trained, self._step)

    def evaluate(
        self,
        data: str | os.PathLike[str],
        *,
        which: Which = "last",
        clips: int | None = None,
        crops: int | None = None,
        frame_order: FrameOrder = "normal",
        workers: int = 0,
        corruption: Corruption | None = None,
    ) -> AdaptedEvaluation:
        """Adapts the model to the videos of a source, and classifies them.

        Args:
          data: as of `evaluate_checkpoint`, and all others, too.
          which: likewise.
          clips: likewise.
          crops: likewise.
          frame_order: likewise.
          workers: likewise.
          corruption: likewise.

        Returns:
          The result with adaptation, which holds that without.

        Raises:
          UserError: the data cannot be used with the model, or no video can be decoded.
        """
        trained = self.trained
        source = open_source(data, default_split="validation", label_names=trained.label_names)
        views = ViewOptions.of(
            trained.config,
            batch_size=1,
            clips=clips,
            crops=crops,
            frame_order=frame_order,
            workers=workers,
            corruption=corruption,
        )
        started = time.perf_counter()
        stream = self._adapt(source, views)
        seconds = time.perf_counter() - started
        common: dict[str, Any] = {
            "label_names": source.label_names,
            "skipped": tuple(clip_name(source, row) for row in stream.skipped),
            "seconds": seconds,
            "step": trained.step,
            "which": which,
            "ema": trained.averaged,
            "data": source.name,
            "clips": views.clips,
            "crops": views.crops,
            "frame_order": frame_order,
            "options": clip_options(trained.config),
            "corruption": corruption,
        }
        return AdaptedEvaluation(
            **common,
            scored=_scored(source, stream, stream.logits, views),
            unadapted=CheckpointEvaluation(**common, scored=_scored(source, stream, stream.unadapted_logits, views)),
            adaptation=self.options,
            chosen=dataclasses.asdict(self._step.chosen),
            layers=tuple(self._step.source),
            losses=stream.losses,
            steps_left_out=stream.steps_left_out,
        )

    def _adapt(self, source: ClipSource, views: ViewOptions) -> "_Stream":
        """Sends the videos through the model, one after the other."""
        options, rows = self.options, np.arange(len(source))
        if options.order_seed is not None:
            rows = np.random.default_rng(options.order_seed).permutation(rows)
        start = state = self._step.start(self._variables)
        key = jax.random.key(options.seed)
        outcomes: list[_Outcome] = []
        skipped: list[int] = []
        examples = adaptation_clips(
            source,
            clip_options(self.trained.config),
            rows,
            views=options.views,
            clips=views.clips,
            crops=views.crops,
            frame_order=views.frame_order,
            corruption=views.corruption,
            workers=views.workers,
            threads=views.threads,
        )
        with progress_bar(len(rows), "adapting", "video", leave=False, shown=True) as bar:
            for example in examples:
                bar.update()
                row = int(example["index"])
                if not example["weight"]:
                    skipped.append(row)
                    continue
                before = start._replace(videos=state.videos) if options.reset else state
                state, adapted = self._take_step(before, example["views"], example["clip"], key)
                plain = self._plain_logits(self._variables, example["clip"])
                seconds = float(example["seconds"])
                outcomes.append(_Outcome(row, int(example["label"]), seconds, *jax.device_get((plain, adapted))))
        if not outcomes:
            raise UserError(f"none of the {counted(len(source), 'video')} of {source.name} could be decoded.")
        return _stream(outcomes, skipped)


def check_several_classes(trained: TrainedModel) -> None:
    """Refuses a model of one class, which is always right and never unsure.

    Args:
      trained: a model with its label names.

    Raises:
      UserError: it knows a single class.
    """
    if len(trained.label_names) < 2:
        raise UserError(
            f"the model knows a single class, {trained.label_names[0]!r}: it is right about every video, however it "
            "looks. Take a model of two classes or more."
        )


class _Outcome(NamedTuple):
    """A video that was classified: its row, label, seconds of decoding, and logits without and with adaptation."""

    row: int
    label: int
    seconds: float
    plain: Float[np.ndarray, "clips classes"]
    adapted: AdaptedVideo


@dataclasses.dataclass(frozen=True, eq=False)
class _Stream:
    """The videos that were classified, in their order; those that cannot be decoded are in `skipped` alone."""

    rows: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    seconds: Float[np.ndarray, " n"]
    logits: Float[np.ndarray, "n classes"]
    unadapted_logits: Float[np.ndarray, "n classes"]
    losses: dict[str, Float[np.ndarray, " n"]]
    skipped: list[int]
    steps_left_out: int


def _compiled(trained: TrainedModel, step: AdaptationStep) -> tuple[Any, LogitsFunction]:
    """Compiles the step, and the logits without it, both of pixels."""
    normalise = normalization(trained.config)

    @jax.jit
    def take_step(
        state: AdaptationState,
        views: UInt8[jax.Array, "views t h w 3"],
        clips: UInt8[jax.Array, "clips t h w 3"],
        key: PRNGKeyArray,
    ) -> tuple[AdaptationState, AdaptedVideo]:
        return step.step(state, normalise(views), normalise(clips), key)

    @jax.jit
    def plain_logits(variables: Any, clips: UInt8[jax.Array, "clips t h w 3"]) -> Float[jax.Array, "clips classes"]:
        return jnp.asarray(step.model.apply(variables, normalise(clips), train=False), jnp.float32)

    return take_step, plain_logits


def _stream(outcomes: list[_Outcome], skipped: list[int]) -> _Stream:
    """Stacks what came of each video."""
    adapted = [outcome.adapted for outcome in outcomes]
    return _Stream(
        rows=np.array([outcome.row for outcome in outcomes], np.int64),
        labels=np.array([outcome.label for outcome in outcomes], np.int32),
        seconds=np.array([outcome.seconds for outcome in outcomes], np.float32),
        logits=np.array([video.logits.mean(axis=0) for video in adapted], np.float32),
        unadapted_logits=np.array([outcome.plain.mean(axis=0) for outcome in outcomes], np.float32),
        losses={name: np.array([video.losses[name] for video in adapted], np.float32) for name in adapted[0].losses},
        skipped=skipped,
        steps_left_out=sum(not video.finite for video in adapted),
    )


def _scored(
    source: ClipSource, stream: _Stream, logits: Float[np.ndarray, "n classes"], views: ViewOptions
) -> ScoredVideos:
    return ScoredVideos(source, stream.rows, stream.labels, logits, views.clips * views.crops, stream.seconds)
