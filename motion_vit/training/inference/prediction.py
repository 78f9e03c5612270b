"""Classifies video files."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from motion_vit.data.batches.batch import default_threads
from motion_vit.data.batches.decoded_video import DecodedVideo, VideoDecoder, decode_video
from motion_vit.data.sources.frame_rates import rate_note
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.workers.ordered_threads import in_threads
from motion_vit.outside_text import LONGEST_LABEL, for_terminal, visible
from motion_vit.training.inference.ranking import finite_rows, ranked_classes
from motion_vit.training.inference.unknown_scores import Rejection, Verdict, check_score, unknown_scores
from motion_vit.training.inference.view_batches import ViewCounts, mean_logits
from motion_vit.training.losses.evidence import EvidenceName
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.step.train_step import LogitsFunction

_NOT_FINITE = (
    "the logits are NaN or infinite, which says nothing of its class: the weights are damaged, or training has "
    "diverged; take an earlier checkpoint, such as --which best, or train anew with a lower learning rate"
)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video.

    Attributes:
      path: the video file.
      classes: (label name, probability) pairs, the most probable first; () where logits are NaN or infinite, which say
        of no class that it is more probable than another, and where there is an error.
      error: why the video could not be classified, in words; "" if it was.
      note: what is to be known about the video's frame rate, a sentence; "" if nothing.
      start: the second of the video that was looked at first.
      end: the second of the video that the part ends before; None for the end of the video.
      uncertainty: share of its distribution that no evidence speaks for, from 0 to 1; None without logits, or of a
        model that was not trained with evidence.
      verdict: whether it is rejected as a video of no class of the model; None where nothing was to be rejected.
    """

    path: str
    classes: tuple[tuple[str, float], ...]
    error: str = ""
    note: str = ""
    start: float = 0.0
    end: float | None = None
    uncertainty: float | None = None
    verdict: Verdict | None = None

    @property
    def unknown(self) -> bool | None:
        """The verdict alone; None where nothing was to be rejected."""
        return None if self.verdict is None else self.verdict.unknown

    @property
    def failure(self) -> str:
        """The reason why no class is named, in words; "" if one is."""
        return self.error or ("" if self.classes else _NOT_FINITE)

    @property
    def part(self) -> str:
        """The part of the video that was looked at, in words; "" for the whole."""
        start = f"from {self.start:.10g} s" if self.start else ""
        end = "" if self.end is None else f"to {self.end:.10g} s"
        return " ".join(filter(None, [start, end]))

    @property
    def title(self) -> str:
        """The path and the part, for a line on a terminal."""
        return for_terminal(self.path) + (f" {self.part}" if self.part else "")

    def check(self) -> None:
        """Raises the error of a video that could not be classified.

        Raises:
          VideoDecodeError: there is one.
        """
        if self.error:
            raise VideoDecodeError(self.path, self.error)

    def to_dict(self) -> dict[str, object]:
        """Gives the prediction as JSON.

        Only that of a video without a class has an `error`; only that of a part of a video has `start` and `end`. Only
        that of a model with evidence has an `uncertainty`; only where videos may be rejected are there `unknown` and
        `unknown_score`, which has the score, its value and the threshold.
        """
        ranking = [{"label": name, "probability": probability} for name, probability in self.classes]
        entry: dict[str, object] = {"video": self.path}
        entry |= {"start": self.start, "end": self.end} if self.part else {}
        entry |= {"predictions": ranking}
        entry |= {} if self.uncertainty is None else {"uncertainty": self.uncertainty}
        if self.verdict is not None:
            entry |= {"unknown": self.verdict.unknown, "unknown_score": dataclasses.asdict(self.verdict)}
        entry |= {"error": self.failure} if self.failure else {}
        return entry | ({"note": self.note} if self.note else {})

    def __str__(self) -> str:
        """Writes the path and the part, and a line for each class or one for the error."""
        classes = [(for_terminal(name, LONGEST_LABEL), probability) for name, probability in self.classes]
        lines = [f"  {100 * probability:5.1f} %  {name}" for name, probability in classes]
        if self.unknown:
            lines.insert(0, "  unknown: of none of the classes; the most similar are")
        if self.verdict is not None:
            lines.append(f"  {self.verdict}")
        elif self.uncertainty is not None:
            lines.append(f"  uncertainty: {self.uncertainty:.3f}")
        if self.failure:
            lines = [f"  not classified: {visible(self.failure)}"]
        if self.note:
            lines.append(f"  note: {visible(self.note)}")
        return "\n".join([self.title, *lines])


def predict_videos(
    logits_of: LogitsFunction,
    variables: Any,
    config: ConfigDict,
    label_names: Sequence[str],
    videos: Sequence[NamedVideo],
    *,
    top: int,
    mesh: Mesh,
    frame_rate: float = 0.0,
    clips: int | None = None,
    crops: int | None = None,
    batch_size: int | None = None,
    decoder: VideoDecoder = decode_video,
    rejection: Rejection | None = None,
) -> Iterator[Prediction]:
    """Classifies videos, several at once. While the model runs, threads decode the next ones.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's parameters and running statistics.
      config: the recipe that it was trained with.
      label_names: name of each class, in the order of the logits.
      videos: of `find_videos`.
      top: how many classes to name.
      mesh: devices that hold the variables.
      frame_rate: median frames per second of the training videos; 0.0 if unknown.
      clips: clips spread over each video; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      batch_size: views at once; the recipe's by default.
      decoder: decodes a video, in one of the threads.
      rejection: which videos are called unknown; None for none.

    Yields:
      The prediction of each video, in order. Probabilities are the softmax of the mean logits of its views, or the mean
      of the distribution that evidence makes of them. A video that cannot be decoded gets one with an error.

    Raises:
      UserError: a number is out of range, a batch is larger than the memory of this machine, or the model lacks the
        score of the rejection.
    """
    evidence = trained_evidence(config)
    if rejection is not None:
        check_score(rejection.score, evidence)
    counts = ViewCounts.of(config, clips=clips, crops=crops, batch_size=batch_size)
    options = clip_options(config)
    at_once = counts.at_once(len(videos))

    with_rate = options.sampling == "dense" and bool(options.fps or frame_rate)

    def decode(video: NamedVideo) -> DecodedVideo:
        return decoder(video, options, clips=counts.clips, crops=counts.crops, with_rate=with_rate)

    threads = default_threads()
    decoded = in_threads(decode, videos, threads=threads, ahead=max(threads, at_once))
    for batch in _batches(decoded, at_once):
        views = [one.views for one in batch if one.views is not None]
        logits = iter(mean_logits(logits_of, variables, views, at_once, mesh))
        for one in batch:
            # Clips of `segment` sampling show the whole video at any rate.
            note = rate_note(one.frame_rate, fps=options.fps, trained=frame_rate) if with_rate else ""
            prediction = Prediction(one.video.path, (), one.error, note, one.video.start, one.video.end)
            yield (
                prediction
                if one.views is None
                else _classified(prediction, next(logits), label_names, top, evidence, rejection)
            )


def _classified(
    prediction: Prediction,
    logits: Float[np.ndarray, " classes"],
    label_names: Sequence[str],
    top: int,
    evidence: EvidenceName | None,
    rejection: Rejection | None,
) -> Prediction:
    """Completes a prediction by what the logits say; nothing where they are not finite."""
    if not finite_rows(logits):
        return prediction
    return dataclasses.replace(
        prediction,
        classes=ranked_classes(logits, label_names, top, evidence),
        uncertainty=None if evidence is None else float(unknown_scores(logits, "uncertainty", evidence)),
        verdict=None if rejection is None else rejection.judge(logits, evidence),
    )


def _batches(decoded: Iterable[DecodedVideo], size: int) -> Iterator[list[DecodedVideo]]:
    """Divides videos into batches with `size` decoded ones each, and broken ones between them."""
    batch: list[DecodedVideo] = []
    for one in decoded:
        batch.append(one)
        if sum(other.views is not None for other in batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
