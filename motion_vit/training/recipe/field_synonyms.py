"""Names that other libraries have for the fields of a recipe, for the suggestion that follows an unknown field."""

import difflib
from collections.abc import Iterable, Mapping

_OTHER_NAMES: Mapping[str, str] = {
    "name": "run_name exp_name experiment experiment_name run project",
    "notes": "note comment comments description tags",
    "seed": "random_seed rng rng_seed manual_seed",
    "temporal_weights": "temporal_init temporal_initialization init_temporal temporal_pretrained",
    "initial_weights": "pretrained pretrain finetune init init_from init_checkpoint checkpoint_path load_from weights",
    "model.name": "model arch architecture backbone network net model_name",
    "model.options": "model_options model_kwargs model_args",
    "model.options.num_classes": "num_classes n_classes nb_classes classes",
    "model.options.stochastic_depth": "drop_path drop_path_rate droppath stochastic_depth",
    "model.options.dtype": "dtype precision amp fp16 bf16 half mixed_precision",
    "data.train": "data dataset data_path data_dir root train_data train_list train_path train_dataset",
    "data.validation": "val valid test val_data val_list val_path val_dataset validation_data test_data",
    "data.features": "cached_features feature_cache features feature_dir precomputed_features",
    "data.frames": "num_frames n_frames nframes clip_len clip_length sequence_length",
    "data.size": "image_size img_size crop_size input_size resolution spatial_size",
    "data.stride": "sampling_rate frame_interval frame_stride temporal_stride frame_step tau",
    "data.fps": "frame_rate framerate target_fps",
    "data.sampling": "sampler sampling_type",
    "data.workers": "num_workers n_workers dataloader_workers",
    "data.class_balance": "balanced_sampling balanced_sampler class_balanced oversample oversampling rebalance",
    "data.channel_order": "color_order channels bgr",
    "augmentation.rand_augment": "randaug randaugment aa auto_augment autoaugment aa_type",
    "augmentation.crop_scale": "scale area_range random_resized_crop",
    "augmentation.crop_ratio": "ratio aspect_ratio",
    "augmentation.flip": "hflip horizontal_flip random_flip mirror",
    "augmentation.repeats": "num_sample repeated_augmentation repeated_aug",
    "augmentation.erasing": "reprob re_prob random_erasing random_erase cutout",
    "augmentation.mixup": "mixup_alpha",
    "augmentation.cutmix": "cutmix_alpha",
    "augmentation.mix_probability": "mixup_prob mix_prob",
    "augmentation.mix_switch_probability": "mixup_switch_prob switch_prob",
    "augmentation.still": "stillmix still_mix background_erasing be",
    "augmentation.still_probability": "stillmix_prob prob_aug",
    "batch_size": "bs batch batchsize train_batch_size global_batch_size",
    "epochs": "epoch num_epochs n_epochs nb_epochs max_epochs max_epoch total_epochs train_epochs",
    "accumulation": "accum accum_steps grad_accum update_freq gradient_accumulation gradient_accumulation_steps",
    "mesh.fsdp": "shards zero",
    "remat": "gradient_checkpointing grad_checkpoint use_checkpoint activation_checkpointing rematerialization",
    "scan_blocks": "scan scan_layers",
    "ema": "ema_decay model_ema moving_average averages",
    "optimizer.name": "optimizer opt optim solver optimizer_type",
    "optimizer.learning_rate": "lr base_lr max_lr peak_lr blr learning_rate init_value peak_value",
    "optimizer.schedule": "scheduler sched lr_schedule lr_scheduler lr_policy",
    "optimizer.warmup_epochs": "warmup warm_up warmup_steps warmup_epoch num_warmup_epochs",
    "optimizer.warmup_start": "warmup_lr start_lr warmup_init_lr warmup_start_lr",
    "optimizer.final_learning_rate": "min_lr end_lr final_lr eta_min end_value",
    "optimizer.decay_epochs": "milestones lr_steps decay_steps steps",
    "optimizer.decay_factor": "gamma lr_decay decay_rate",
    "optimizer.weight_decay": "wd decay l2",
    "optimizer.decay_mask": "no_decay no_weight_decay weight_decay_mask",
    "optimizer.betas": "beta beta1 beta2 b1 b2 opt_betas",
    "optimizer.eps": "epsilon opt_eps",
    "optimizer.clip_norm": "grad_clip clip_grad clip clip_grad_norm max_grad_norm gradient_clip gradient_clip_val",
    "optimizer.layer_decay": "llrd layer_lr_decay layerwise_decay layer_wise_decay",
    "optimizer.learning_rate_multipliers": "lr_mult lr_multiplier lr_multipliers paramwise_cfg",
    "optimizer.frozen": "freeze frozen_stages freeze_backbone frozen_layers",
    "loss.name": "loss criterion loss_fn loss_type",
    "loss.label_smoothing": "smoothing label_smooth label_smoothing_eps",
    "distillation.teachers": "teacher teachers teacher_model teacher_path teacher_checkpoint",
    "distillation.temperature": "temperature kd_temperature distill_temperature kd_t tau_kd",
    "distillation.weight": "kd_weight distill_weight distillation_weight kd_alpha",
    "debiasing.weight": "debias debias_weight debias_head",
    "debiasing.hsic_weight": "hsic hsic_factor",
    "unlabelled.data": "unlabelled unlabeled unlabelled_data unlabeled_data unlabelled_list unlabeled_list",
    "unlabelled.per_labelled": "mu unlabelled_ratio unlabeled_ratio",
    "unlabelled.threshold": "delta p_cutoff confidence_threshold pseudo_label_threshold",
    "evaluation.batch_size": "eval_batch_size val_batch_size test_batch_size eval_bs",
    "evaluation.clips": "num_clips num_views views test_clips num_ensemble_views test_num_segment",
    "evaluation.crops": "num_crops test_crops num_spatial_crops test_num_crop",
    "evaluation.every_epochs": "eval_every eval_freq eval_interval eval_period val_freq val_interval",
    "checkpoint.every_steps": "save_every save_freq save_interval ckpt_every checkpoint_every checkpoint_period",
    "checkpoint.best_metric": "monitor save_best metric_for_best_model key_indicator",
    "early_stopping.metric": "early_stopping_metric early_stop_metric",
    "early_stopping.patience": "patience early_stopping_patience early_stop",
    "checkpoint.keep": "keep max_to_keep keep_checkpoints save_total_limit",
    "log.every_steps": "log_every log_freq log_interval log_every_steps print_freq logging_steps",
}

SYNONYMS: Mapping[str, str] = {name: field for field, names in _OTHER_NAMES.items() for name in names.split()}
"""Name elsewhere -> the field, or the option of the model."""

_LIKE = 0.75


def field_meant(given: object, known: Iterable[str]) -> str:
    """Finds the field that somebody meant by a name that no field has.

    Args:
      given: the name, dotted or not; recipes may hold something else in its place.
      known: dotted names of all fields.

    Returns:
      The dotted name of a field, or of an option of the model; "" if none is close.
    """
    if not isinstance(given, str):
        return ""
    names = list(known)
    name = given.lower().replace("-", "_")
    group, _, word = name.rpartition(".")
    synonym = SYNONYMS.get(name) or SYNONYMS.get(name.replace(".", "_")) or SYNONYMS.get(word)
    if synonym:
        beside = f"{group}.{synonym.rpartition('.')[2]}"
        return beside if beside in names else synonym
    ends = [each for each in names if each.endswith(f".{word}") or each == word]
    if ends:
        return max(ends, key=lambda each: difflib.SequenceMatcher(None, name, each).ratio())
    if group and (near := difflib.get_close_matches(name, names, n=1)):
        return near[0]
    words = {each.rpartition(".")[2]: each for each in reversed(names)}
    near = difflib.get_close_matches(word, words, n=1, cutoff=_LIKE) or difflib.get_close_matches(name, names, n=1)
    return words.get(near[0], near[0]) if near else ""
