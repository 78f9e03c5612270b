"""The range of every field of a recipe, in one table.

A field that decides an option of models has the option's range, and one that clips, batches or evaluation take has
theirs: each is stated once, where the value is defined, and named here.
"""

from collections.abc import Mapping
from typing import get_args

from motion_vit.data.batches.batch_ranges import BATCH_SIZE, CLASS_BALANCE, CLIPS, CROPS, STRONG_TIME, THREADS, WORKERS
from motion_vit.data.batches.clip_options import CLIP_RANGES
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.option import option_ranges
from motion_vit.models.option_ranges import DEPTH, WIDTH
from motion_vit.models.rematerialization import Remat
from motion_vit.ranges import (
    IMAGE_SIDE,
    NONE,
    PROBABILITY,
    SEED,
    SHARE,
    Choice,
    Either,
    Flag,
    Items,
    Notes,
    Number,
    Options,
    Range,
    Rules,
    Text,
    Whole,
)
from motion_vit.training.losses.distillation import TeacherWeighting
from motion_vit.training.losses.independence import HsicEstimator
from motion_vit.training.losses.pseudo_labels import MixingTarget, PseudoLabelMethod
from motion_vit.training.masking.mask_sampler import MaskKind
from motion_vit.training.recipe.config import OptimizerName, StillName, WriterName
from motion_vit.training.recipe.objective_name import ObjectiveName
from motion_vit.training.recipe.validation_metric import ValidationMetric

_NAME = Text(200)
_PATH = Text(4096)  # Linux takes no longer one
_PATHS = Items(_PATH, 0, 16)
_EPOCHS = 1_000_000
_STEPS = Whole(1, 10**12)
_DEVICES = Either(Whole(1, 1_000_000), Choice((-1,)))
_RATE = Number(0, 1000)
_WEIGHT = Number(0, 1_000_000)
_PROMPT = option_ranges(MotionPrompted)

FIELD_RANGES: Mapping[str, Range] = {
    "name": _NAME,
    "notes": Notes(),
    "seed": SEED,
    "initial_weights": _PATH,
    "temporal_weights": _PATH,
    "objective": Choice(get_args(ObjectiveName)),
    "model.name": _NAME,
    "model.options": Options(),
    "data.train": _PATH,
    "data.validation": _PATH,
    "data.features": _PATH,
    "data.validation_features": _PATH,
    "data.frames": CLIP_RANGES["frames"],
    "data.size": CLIP_RANGES["size"],
    "data.sampling": CLIP_RANGES["sampling"],
    "data.stride": CLIP_RANGES["stride"],
    "data.fps": CLIP_RANGES["fps"],
    "data.mean": _PROMPT["pixel_mean"],
    "data.std": _PROMPT["pixel_std"],
    "data.channel_order": _PROMPT["channel_order"],
    "data.class_balance": CLASS_BALANCE,
    "data.workers": WORKERS,
    "data.threads": THREADS,
    "data.max_undecodable": SHARE,
    "augmentation.rand_augment": CLIP_RANGES["rand_augment"],
    "augmentation.rand_augment_on": CLIP_RANGES["rand_augment_on"],
    "augmentation.crop": CLIP_RANGES["crop"],
    "augmentation.crop_scale": CLIP_RANGES["crop_scale"],
    "augmentation.crop_ratio": CLIP_RANGES["crop_ratio"],
    "augmentation.crop_sizes": CLIP_RANGES["crop_sizes"],
    "augmentation.flip": CLIP_RANGES["flip"],
    "augmentation.repeats": CLIP_RANGES["repeats"],
    "augmentation.erasing": SHARE,
    "augmentation.mixup": Number(0, 1000),
    "augmentation.cutmix": Number(0, 1000),
    "augmentation.mix_probability": SHARE,
    "augmentation.mix_switch_probability": SHARE,
    "augmentation.still": Choice(get_args(StillName)),
    "augmentation.still_share": Items(Number(0, 1_000_000, above=True), 2, 2),
    "augmentation.still_probability": SHARE,
    "augmentation.still_limit": SHARE,
    "augmentation.still_bank": _PATH,
    "batch_size": BATCH_SIZE,
    "epochs": Number(0, _EPOCHS, above=True),
    "accumulation": BATCH_SIZE,
    "mesh.data": _DEVICES,
    "mesh.fsdp": _DEVICES,
    "mesh.frames": _DEVICES,
    "sharding_rules": Rules(Either(Choice(("fsdp", "replicated")), Items(Either(NONE, Text(100)), 0, 32))),
    "remat": Choice(get_args(Remat)),
    "scan_blocks": Flag(),
    "ema": Rules(PROBABILITY),
    "optimizer.name": Choice(get_args(OptimizerName)),
    "optimizer.learning_rate": Number(0, 1000, above=True),
    "optimizer.schedule": Choice(("cosine", "step")),
    "optimizer.warmup_epochs": Number(0, _EPOCHS),
    "optimizer.warmup_start": _RATE,
    "optimizer.final_learning_rate": _RATE,
    "optimizer.decay_epochs": Items(Number(0, _EPOCHS, above=True), 0, 1000, order="rising"),
    "optimizer.decay_factor": SHARE,
    "optimizer.weight_decay": _WEIGHT,
    "optimizer.decay_mask": Rules(Flag()),
    "optimizer.betas": Items(PROBABILITY, 2, 2),
    "optimizer.eps": Number(0, 1000, above=True),
    "optimizer.momentum": PROBABILITY,
    "optimizer.nesterov": Flag(),
    "optimizer.muon.momentum": PROBABILITY,
    "optimizer.muon.matrices": Rules(Whole(0, 1000)),
    "optimizer.clip_norm": Number(0, 10**12),
    "optimizer.layer_decay": Number(0, 1, above=True),
    "optimizer.learning_rate_multipliers": Rules(_WEIGHT),
    "optimizer.frozen": Rules(Flag()),
    "loss.name": _NAME,
    "loss.options": Options(),
    "loss.label_smoothing": PROBABILITY,
    "loss.classification": _WEIGHT,
    "loss.correspondence.photometric": _WEIGHT,
    "loss.correspondence.smoothness": _WEIGHT,
    "loss.correspondence.walk": _WEIGHT,
    "loss.correspondence.edge_dropout": PROBABILITY,
    "pretraining.mask": Choice(get_args(MaskKind)),
    "pretraining.mask_ratio": Number(0, 1, above=True, below=True),
    "pretraining.normalise_target": Flag(),
    "pretraining.decoder_depth": DEPTH,
    "pretraining.decoder_width": Either(Choice((0,)), WIDTH),
    "pretraining.decoder_heads": Either(Choice((0,)), WIDTH),
    "pretraining.decoder_mask": Number(0, 0.75),
    "distillation.teachers": _PATHS,
    "distillation.weight": _WEIGHT,
    "distillation.temperature": Number(0.01, 1000),
    "distillation.weighting": Choice(get_args(TeacherWeighting)),
    "distillation.sharpness": Number(0.001, 1_000_000),
    "distillation.feature_weight": _WEIGHT,
    "distillation.features": Items(Items(Text(200), 2, 2, "of the model and of the teacher"), 0, 16),
    "distillation.bfloat16": Flag(),
    "debiasing.weight": _WEIGHT,
    "debiasing.features": Text(200),
    "debiasing.estimator": Choice(get_args(HsicEstimator)),
    "debiasing.hsic_weight": _WEIGHT,
    "debiasing.dropout": PROBABILITY,
    "unlabelled.data": _PATH,
    "unlabelled.per_labelled": Whole(1, 1000),
    "unlabelled.labels_known": Flag(),
    "unlabelled.method": Choice(get_args(PseudoLabelMethod)),
    "unlabelled.threshold": SHARE,
    "unlabelled.passes": Whole(2, 1000),
    "unlabelled.warmup_epochs": Number(0, _EPOCHS),
    "unlabelled.weight": _WEIGHT,
    "unlabelled.mix_weight": _WEIGHT,
    "unlabelled.mix_alpha": Number(0.001, 1000),
    "unlabelled.mix_patch": IMAGE_SIDE,
    "unlabelled.mix_compared": Choice(get_args(MixingTarget)),
    "unlabelled.rand_augment": CLIP_RANGES["rand_augment"],
    "unlabelled.strong_time": STRONG_TIME,
    "evaluation.batch_size": BATCH_SIZE,
    "evaluation.clips": CLIPS,
    "evaluation.crops": CROPS,
    "evaluation.every_epochs": Number(0, _EPOCHS, above=True),
    "evaluation.ema": Flag(),
    "checkpoint.every_steps": _STEPS,
    "checkpoint.keep": Whole(1, 1_000_000),
    "checkpoint.best_metric": Choice(get_args(ValidationMetric)),
    "early_stopping.metric": Choice(get_args(ValidationMetric)),
    "early_stopping.patience": Whole(0, 1_000_000),
    "log.every_steps": _STEPS,
    "log.writers": Items(Choice(get_args(WriterName)), 0, len(get_args(WriterName))),
}
"""Dotted name of a field -> what it may be. What is checked beyond that is how fields go with each other."""

PATH_FIELDS = tuple(name for name, expected in FIELD_RANGES.items() if expected in (_PATH, _PATHS))
"""Fields that name something on a file system of this machine, or several such things."""
