"""Computes features of videos: the tokens that the encoder of frames of a model makes of them."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from motion_vit.counts import counted
from motion_vit.data.batches.evaluation_batches import clip_views, evaluation_batches
from motion_vit.data.features.description import FeatureDtype, FeaturesDescription, UndecodableVideo
from motion_vit.data.features.feature_writer import FeatureWriter, open_feature_writer
from motion_vit.data.sources.clip_index import index_clips
from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.models.options import model_options, with_options
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate import ViewOptions
from motion_vit.training.features.encoder_facts import encoder_fingerprint, encoder_options, input_fields
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.file import OVERRIDE_PREFIX, with_overrides
from motion_vit.zoo.load import as_trained

SAMPLING_FIELDS = ("data.sampling", "data.stride", "data.fps")
"""Fields of a recipe that features may be made with in the place of those of the checkpoint."""

# A file is in memory while it is filled, and is the least that an interrupted extraction computes again.
_BYTES_OF_A_FILE = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class FeaturesResult:
    """The end of an extraction.

    Attributes:
      folder: where the features lie.
      videos: how many there are.
      computed: of how many features were computed by this call; those of the others were there.
      undecodable: the videos that could not be decoded.
      seconds: time that it took.
    """

    folder: pathlib.Path
    videos: int
    computed: int
    undecodable: tuple[UndecodableVideo, ...]
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureExtraction:
    """Features that are to be computed; `plan_features` makes one.

    Attributes:
      trained: the model, whose encoder of frames is run.
      source: the videos.
      folder: where the features go.
      description: what they are of.
      views: views of each video, and how these are batched.
      mesh: devices that batches are split over.
    """

    trained: TrainedModel
    source: ClipSource
    folder: pathlib.Path
    description: FeaturesDescription
    views: ViewOptions
    mesh: Mesh

    def describe(self) -> str:
        """Says what will be computed, and the room that it takes."""
        described = self.description
        frames, tokens, width = described.shape
        views = f" x {counted(described.views, 'view')}" if described.views > 1 else ""
        return (
            f"features of {counted(described.videos, 'video')}{views}: {counted(frames, 'frame')} of "
            f"{counted(tokens, 'token')} of {width} channels, {described.dtype}; "
            f"{described.videos * described.bytes_per_video / 1e6:,.1f} MB in {self.folder}"
        )

    def run(self) -> FeaturesResult:
        """Computes and writes what is not there yet.

        Returns:
          What was done.

        Raises:
          UserError: the folder holds something else or cannot be written, the disk is too small, another process
            writes into it, or no video can be decoded.
        """
        start = time.perf_counter()
        with open_feature_writer(self.folder, self.description) as writer:
            writer.check_space()
            rows = writer.rows
            self._compute(writer)
            undecodable = self._undecodable(writer)
            if len(undecodable) == len(self.source):
                raise UserError(
                    f"none of the {counted(len(self.source), 'video')} of {self.source.name} could be decoded, such as "
                    f"{undecodable[0].video}: {undecodable[0].reason}."
                )
            ids = index_clips(self.source).ids
            writer.finish(ids, undecodable)
        return FeaturesResult(self.folder, len(self.source), len(rows), tuple(undecodable), time.perf_counter() - start)

    def _compute(self, writer: FeatureWriter) -> None:
        """Decodes the videos whose features are missing, in their order, and hands their tokens to the writer."""
        views, parts, rows = self.views, meshes.batch_parts(self.mesh), writer.rows
        batch_size = -(-views.batch_size // parts) * parts
        tokens_of = _tokens_function(self.trained, self.description.dtype, self.mesh)
        batches = evaluation_batches(
            self.source,
            clip_options(self.trained.config),
            batch_size=batch_size,
            clips=views.clips,
            crops=views.crops,
            workers=views.workers,
            threads=views.threads,
            rows=rows,
        )
        count = -(-len(rows) * self.description.views // batch_size)
        with progress_bar(count, "computing features", "batch", leave=False) as bar:
            for batch in batches:
                clips = meshes.to_devices({"clip": batch["clip"]}, self.mesh)["clip"]
                tokens = np.asarray(jax.device_get(tokens_of(self.trained.variables, clips)))
                real, decoded = batch["index"] >= 0, batch["weight"] > 0
                _check_finite(tokens[decoded], self.source, batch["index"][decoded])
                writer.add(batch["index"][real], batch["view"][real], tokens[real], batch["label"][real], decoded[real])
                bar.update()
        writer.flush()

    def _undecodable(self, writer: FeatureWriter) -> list[UndecodableVideo]:
        """Names the videos that could not be decoded; each is tried once more, to say why."""
        options, found = clip_options(self.trained.config), []
        for row in writer.undecoded_rows():
            reason = "it could not be decoded when its features were computed"
            try:
                clip_views(self.source[row], options)
            except UserError as error:
                reason = error.reason if isinstance(error, VideoDecodeError) else str(error)
            found.append(UndecodableVideo(row, clip_name(self.source, row), reason))
        return found


def plan_features(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    which: Which = "last",
    ema: bool | None = None,
    pool: int | None = None,
    dtype: FeatureDtype = "bfloat16",
    clips: int | None = None,
    crops: int | None = None,
    batch_size: int | None = None,
    workers: int = 0,
    overrides: Sequence[str] = (),
) -> FeatureExtraction:
    """Plans the features of videos, without decoding any.

    Args:
      checkpoint: workdir of a training run, a weights folder, a name that `motion_vit.load` takes, or a loaded model;
        of a model with an encoder of frames.
      data: the videos: a list file, a prepared folder (its split `train`) or FOLDER:SPLIT. Their classes need not be
        the model's.
      folder: where the features go: a new or empty folder, or one that was begun by the same call.
      which: of a workdir, the last checkpoint or the one of best validation accuracy.
      ema: of a workdir, whether to take the averages of the parameters; the recipe's `evaluation.ema` by default.
      pool: rows and columns of tokens that those of a frame are averaged to, as the model option `frame_pool`; the
        model's by default.
      dtype: what the tokens are stored in.
      clips: clips of each video; 1 by default.
      crops: crops of each clip, 1 or 3; 1 by default.
      batch_size: views at once; the recipe's of evaluation by default.
      workers: processes that decode.
      overrides: fields of `SAMPLING_FIELDS` as `--config.data.sampling=segment`, for a training whose recipe takes
        other clips of a video than the checkpoint's does.

    Returns:
      What will be computed.

    Raises:
      UserError: there is no such checkpoint or data, the model has no encoder of frames or cannot pool its tokens, or
        another field is given.
    """
    source = open_source(data, default_split="train")
    mesh = meshes.data_mesh()
    trained = as_trained(checkpoint, which=which, ema=ema, mesh=mesh)
    if pool is not None:
        trained = _pooled(trained, pool)
    trained = _with_overrides(trained, overrides)
    shape = _shape_of_tokens(trained.model)
    views = ViewOptions.of(trained.config, batch_size=batch_size, clips=clips or 1, crops=crops or 1, workers=workers)
    description = FeaturesDescription(
        encoder=encoder_options(trained.model),
        encoder_weights=encoder_fingerprint(trained.model, trained.variables),
        inputs=input_fields(trained.config),
        clips=views.clips,
        crops=views.crops,
        dtype=dtype,
        shape=shape,
        label_names=source.label_names,
        data=source.name,
        data_fingerprint=source.fingerprint,
        videos=len(source),
        videos_per_file=1,
    )
    videos_per_file = max(1, _BYTES_OF_A_FILE // description.bytes_per_video)
    return FeatureExtraction(
        trained=trained,
        source=source,
        folder=local_path(folder),
        description=dataclasses.replace(description, videos_per_file=videos_per_file),
        views=views,
        mesh=mesh,
    )


def _pooled(trained: TrainedModel, pool: int) -> TrainedModel:
    """Makes a model that averages the tokens of a frame to so many rows and columns."""
    if "frame_pool" not in model_options(trained.model):
        raise UserError(
            f"{type(trained.model).__name__} has no option frame_pool, which averages the tokens of a frame. Leave out "
            "--pool."
        )
    try:
        return dataclasses.replace(trained, model=with_options(trained.model, {"frame_pool": pool}))
    except ValueError as error:
        raise UserError(f"the tokens of a frame cannot be averaged to {pool} x {pool}: {error}.") from error


def _with_overrides(trained: TrainedModel, overrides: Sequence[str]) -> TrainedModel:
    """Changes how clips are made of videos."""
    for override in overrides:
        name = override.removeprefix(OVERRIDE_PREFIX).partition("=")[0]
        if name not in SAMPLING_FIELDS:
            raise UserError(
                f"the config field {name} is not for features, whose clips are those of the checkpoint but for "
                f"{', '.join(SAMPLING_FIELDS)}. Leave it out."
            )
    return dataclasses.replace(trained, config=with_overrides(trained.config, overrides)) if overrides else trained


def _shape_of_tokens(model: VideoModel) -> tuple[int, int, int]:
    """Frames, tokens and channels of the tokens of a clip, without computing any."""
    model.frame_encoder()  # its error says which models have one
    clips = jax.ShapeDtypeStruct((1, *model.clip_shape), jnp.float32)

    def tokens_of(key: Array, clips: Float[Array, "b t h w 3"]) -> Array:
        tokens: Array = model.init_with_output(key, clips, method="frame_tokens")[0]
        return tokens

    _, frames, tokens, width = jax.eval_shape(tokens_of, jax.random.key(0), clips).shape
    return frames, tokens, width


def _tokens_function(trained: TrainedModel, dtype: FeatureDtype, mesh: Mesh) -> Any:
    """Compiles the encoder of frames, when it is first called."""
    normalize = normalization(trained.config)

    def tokens_of(variables: Any, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b frames tokens c"]:
        with meshes.in_context(mesh):
            tokens = trained.model.apply(variables, normalize(clips), train=False, method="frame_tokens")
            return jnp.asarray(tokens).astype(dtype)

    return jax.jit(tokens_of)


def _check_finite(tokens: np.ndarray, source: ClipSource, rows: np.ndarray) -> None:
    """Refuses tokens that are NaN or infinite, such as those that are too large for float16."""
    finite = np.isfinite(tokens.astype(np.float32)).all(axis=(1, 2, 3))
    if not finite.all():
        row = int(rows[int(np.argmin(finite))])
        raise UserError(
            f"tokens of {clip_name(source, row)} are NaN or infinite: the model has diverged, its weights are not for "
            "such clips, or they are too large for float16. Store bfloat16, which has the range of float32."
        )
