"""The features that a run learns from, checked against its recipe, its videos and its weights."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.features.feature_folder import FeatureFolder
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.evaluation.evaluate import CachedFeatures
from motion_vit.training.features.encoder_facts import (
    encoder_fingerprint,
    encoder_options,
    encoder_variables,
    input_fields,
)
from motion_vit.training.parallel.processes import errors_together


class RunFeatures(NamedTuple):
    """The features of a run.

    Attributes:
      training: of the training videos.
      validation: of the validation videos; None where these are decoded.
    """

    training: CachedFeatures
    validation: CachedFeatures | None


def open_run_features(
    config: ConfigDict, model: VideoModel, training: ClipSource, validation: ClipSource | None
) -> RunFeatures | None:
    """Opens the features of a recipe.

    Args:
      config: the recipe.
      model: the one that it trains.
      training: its training videos.
      validation: its validation videos.

    Returns:
      The features; None for a recipe that trains on videos.

    Raises:
      UserError: there are none, or they are damaged, not finished, of other videos or labels, of an encoder with other
        options, or of other clips.
    """
    fields = config.data
    if not fields.features:
        return None
    opened = _open(fields.features, "data.features", config, model, training)
    if not fields.validation_features or validation is None:
        return RunFeatures(opened, None)
    field = "data.validation_features"
    of_validation = _open(fields.validation_features, field, config, model, validation)
    described = of_validation.folder.description
    views = config.evaluation.clips, config.evaluation.crops
    if (described.clips, described.crops) != views:
        raise UserError(
            f"config field {field}: the features in {of_validation.folder.path} are of {described.clips} x "
            f"{described.crops} views of each video, but evaluation.clips x evaluation.crops is {views[0]} x "
            f"{views[1]}. Set these fields, or make the features with --clips {views[0]} --crops {views[1]}."
        )
    return RunFeatures(opened, of_validation)


def check_encoder_weights(features: RunFeatures | None, model: VideoModel, variables: Mapping[str, Any]) -> None:
    """Checks that the weights of a run's encoder are those that its features were computed with.

    Every process must call it.

    Args:
      features: of the run, if there are any.
      model: of the run.
      variables: its parameters and running statistics, on the devices of all processes.

    Raises:
      UserError: they are others.
    """
    if features is None:
        return
    chosen = encoder_variables(model, variables)
    if jax.process_count() > 1:
        chosen = multihost_utils.process_allgather(chosen, tiled=True)
    found = encoder_fingerprint(model, chosen)
    with errors_together():
        for field, each in (("data.features", features.training), ("data.validation_features", features.validation)):
            if each is not None and each.folder.description.encoder_weights != found:
                raise UserError(
                    f"config field {field}: the features in {each.folder.path} were computed with other weights of "
                    f"the encoder than this run has: {each.folder.description.encoder_weights[:12]} there, "
                    f"{found[:12]} here. Start from the checkpoint that they were made with "
                    "(--config.initial_weights=DIR), or make features with the checkpoint that this run starts from."
                )


def describe_run_features(features: RunFeatures | None) -> list[str]:
    """Says what a run learns from, where that is features, for the log."""
    if features is None:
        return []
    folder = features.training.folder
    described = folder.description
    several = f", of which each step draws one of {described.views} views" if described.views > 1 else ""
    return [
        f"learns from the features in {folder.path}{several}: "
        f"{counted(described.shape[1], 'token')} of each of {counted(described.shape[0], 'frame')}, {described.dtype}. "
        "Videos are not decoded, and the augmentation fields have no effect"
    ]


def _open(path: str, field: str, config: ConfigDict, model: VideoModel, source: ClipSource) -> CachedFeatures:
    folder = FeatureFolder(path)
    described = folder.description
    for what, there, here in (
        ("other clips", described.inputs, input_fields(config)),
        ("another encoder", described.encoder, encoder_options(model)),
    ):
        differing = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        if differing:
            lines = "\n".join(f"  {name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in differing)
            raise UserError(
                f"config field {field}: the features in {folder.path} are of {what}:\n{lines}\n"
                "Give the recipe these values, or make features of its values: `motion-vit features` takes "
                "--config.data.sampling, data.stride and data.fps, and --pool for frame_pool."
            )
    return CachedFeatures(folder, folder.labels_in(source, f"config field {field}"))
