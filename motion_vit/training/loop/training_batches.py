"""The batches that a recipe trains on: labelled clips, unlabelled ones beside them, or features in their place."""

import dataclasses

from ml_collections import ConfigDict

from motion_vit.data.batches.feature_batches import FeatureBatches
from motion_vit.data.batches.paired_batches import PairedBatches
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.ranges import SEED
from motion_vit.training.features.run_features import RunFeatures
from motion_vit.training.parallel.processes import shard
from motion_vit.training.recipe.clips import clip_options, unlabelled_views

RunBatches = TrainingBatches | PairedBatches | FeatureBatches


def training_batches(
    config: ConfigDict, source: ClipSource, unlabelled: ClipSource | None, features: RunFeatures | None
) -> RunBatches:
    """Opens the batches of a run, of which each process reads its part.

    Args:
      config: the recipe.
      source: clips to learn from.
      unlabelled: clips to learn from without labels, if there are any.
      features: what is read in the place of the clips, if anything is.

    Returns:
      An endless stream, which begins with the first batch; `set_state` continues another.
    """
    if features is not None:
        return FeatureBatches(
            source,
            *features.training,
            batch_size=config.batch_size,
            seed=config.seed,
            threads=config.data.threads,
            shard=shard(),
            parts=config.accumulation,
            class_balance=config.data.class_balance,
        )
    options = clip_options(config)
    labelled = TrainingBatches(
        source,
        options,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.data.workers,
        threads=config.data.threads,
        shard=shard(),
        parts=config.accumulation,
        class_balance=config.data.class_balance,
    )
    if unlabelled is None:
        return labelled
    beside = TrainingBatches(
        unlabelled,
        dataclasses.replace(options, repeats=1),
        views=unlabelled_views(config),
        batch_size=config.batch_size * config.unlabelled.per_labelled,
        # In another order than the labelled clips, which may be among them.
        seed=(config.seed + 1) % (SEED.most + 1),
        workers=config.data.workers,
        threads=config.data.threads,
        shard=shard(),
    )
    return PairedBatches(labelled, beside)
