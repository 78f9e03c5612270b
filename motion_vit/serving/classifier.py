"""The model of a server: loaded once, compiled before the first request, asked by several threads."""

import dataclasses

import jax
import numpy as np

from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.errors import UserError
from motion_vit.serving.decoding_process import Decoding, DecodingProcesses
from motion_vit.serving.question import Question
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.ranking import ranked_classes
from motion_vit.training.inference.view_batches import ViewCounts, mean_logits
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.recipe.clips import clip_options


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
      entry: as `motion-vit predict --json` writes it.
      failure: why there is no answer, or not for all of the video, in words; "" if there is.
      is_fault_of_weights: whether that is for the weights, and not for the video.
    """

    entry: dict[str, object]
    failure: str = ""
    is_fault_of_weights: bool = False


class Classifier:
    """Answers questions about video files.

    It runs on the first device alone: requests come one by one, and programs for several devices that several threads
    start could wait for each other.

    Args:
      trained: a model, also one that lies on several devices.
      clips: clips spread over a video or window; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      batch_size: views of a timeline at once; by default those of one window.

    Attributes:
      processes: those that decode.

    Raises:
      UserError: a number is out of range.
    """

    def __init__(
        self,
        trained: TrainedModel,
        *,
        clips: int | None = None,
        crops: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        counts = ViewCounts.of(trained.config, clips=clips, crops=crops, batch_size=batch_size or 1)
        self._counts = dataclasses.replace(counts, batch_size=batch_size or counts.clips * counts.crops)
        self._mesh = data_mesh(jax.devices()[:1])
        variables = jax.device_put(trained.variables, jax.devices()[0])
        self._trained = dataclasses.replace(trained, variables=variables)
        self.processes = DecodingProcesses()

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self._trained.config.model.name)

    def warm(self, processes: int) -> None:
        """Compiles all that requests need, and starts processes.

        Args:
          processes: that decode at once.

        Raises:
          UserError: the logits of a black clip are NaN or infinite.
        """
        self.processes.start(processes)
        trained, counts = self._trained, self._counts
        black = np.zeros((counts.clips * counts.crops, *clip_options(trained.config).shape), np.uint8)
        logits_of = trained.logits_function(self._mesh)
        # All that `ViewCounts.at_once` may choose.
        most = max(1, counts.batch_size // len(black))
        for size in (2**power for power in range(most.bit_length())):
            (logits,) = mean_logits(logits_of, trained.variables, [black], size, self._mesh)
            if not ranked_classes(logits, trained.label_names, 1):
                raise UserError(
                    "the logits of a black clip are NaN or infinite: the weights are damaged, or training has "
                    "diverged; serve an earlier checkpoint, such as --which best."
                )

    def answer(self, path: str, name: str, question: Question, decoding: Decoding) -> Answer:
        """Answers a question about a video file.

        Args:
          path: the file.
          name: what the answer calls it.
          question: what is asked.
          decoding: decodes it.

        Returns:
          The answer, which does not know the path.

        Raises:
          StoppedError: the decoding was stopped.
        """
        video = NamedVideo(path, question.start, question.end)
        views = dataclasses.asdict(self._counts)
        if question.windows is not None:
            timeline = self._trained.timeline_of(
                video,
                window=question.windows.seconds,
                hop=question.windows.hop,
                rules=question.rules,
                mesh=self._mesh,
                open_windows=decoding.open_windows,
                **views,
            )
            error = timeline.error.replace(path, name)
            return Answer(dataclasses.replace(timeline, path=name, error=error).to_dict(), error)
        (prediction,) = self._trained.predict_each(
            [video], top=question.top, mesh=self._mesh, decoder=decoding.decode, **views
        )
        prediction = dataclasses.replace(prediction, path=name, error=prediction.error.replace(path, name))
        return Answer(prediction.to_dict(), prediction.failure, bool(prediction.failure and not prediction.error))
