"""The fields of a recipe: the default and the meaning of each, in one table.

`motion_vit.training.recipe.field_ranges` has what each may be. The reference of the site and `motion-vit recipe fields`
show the three together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A field of a recipe.

    Attributes:
      default: its value where a recipe says nothing; its type is that of the field.
      meaning: a sentence or more. What stands in backquotes is code.
    """

    default: Any
    meaning: str


FIELDS: Mapping[str, Field] = {
    "name": Field("run", "What logs call the run."),
    "notes": Field(
        None,
        "Whatever you want to remember of the run: a text, or a mapping that may be nested. It is kept with the "
        "checkpoints and not interpreted; a run may be continued with others, and exports leave them out.",
    ),
    "seed": Field(0, "What initialisation, the order of the data, augmentation and dropout are drawn from."),
    "initial_weights": Field(
        "",
        "What the parameters start from: the workdir of another run or a weights folder, such as `motion-vit import` "
        "makes; a name of `motion-vit models`; or `hf:owner/name`. Empty draws them from the seed. The head starts "
        "anew where the classes are others.",
    ),
    "temporal_weights": Field(
        "",
        "What the temporal encoder of a ViViT with attention='factorised_encoder' starts from, where that is not "
        '`initial_weights`: "anew" for the seed, "image" for copies of the last blocks of its spatial encoder, or '
        "other weights, named as there. A table of times of another length is interpolated.",
    ),
    "objective": Field(
        "classification",
        'What is trained: a classifier of the labels ("classification"), or, without them, what predicts the pixels of '
        "hidden parts of clips, as the `pretraining` fields say: a plain transformer that sees the rest alone "
        '("masked_autoencoding"), or a UniFormer that sees them filled ("masked_filling").',
    ),
    "model.name": Field("uniformer_emim_s", "One of `motion_vit.list_models()`."),
    "model.options": Field(
        {}, "Options of `motion_vit.create_model`; `motion-vit inspect` checks them. The data decide `num_classes`."
    ),
    "data.train": Field(
        "",
        "Training videos: a folder of `motion-vit prepare`, `FOLDER:SPLIT`, or a list file, which is a CSV file with "
        "the header `path,label`. A folder alone means its split `train`. Also `tfds:NAME:SPLIT`, a set that "
        "TensorFlow Datasets has prepared.",
    ),
    "data.validation": Field(
        "",
        "Validation videos, likewise; a folder alone means its split `validation`. Empty trains without validation.",
    ),
    "data.features": Field(
        "",
        "A folder of `motion-vit features`, made of `data.train` with the weights that the model starts from: the "
        "frozen encoder is not run, its tokens are read from there. Empty decodes videos.",
    ),
    "data.validation_features": Field(
        "",
        "Likewise, made of `data.validation`. Empty decodes the validation videos, also where `data.features` is set.",
    ),
    "data.frames": Field(16, "Frames of a clip."),
    "data.size": Field(224, "Pixels of a side of the square crop."),
    "data.sampling": Field(
        "segment",
        'How frames are chosen: "segment", one from each of equal parts of the video (Something-Something), or '
        '"dense", every few frames from a random place (Kinetics).',
    ),
    "data.stride": Field(
        4, 'Frames between sampled frames, for "dense" sampling; ticks of the clock where `data.fps` is set.'
    ),
    "data.fps": Field(
        0.0,
        'Ticks per second of the clock that "dense" samples by, taking the frame nearest in time to each, so that '
        "videos of all frame rates show the same motion. 0 counts frames, as the published recipes do.",
    ),
    "data.mean": Field((0.45, 0.45, 0.45), "What is subtracted from red, green and blue, which are in [0, 1]."),
    "data.std": Field((0.225, 0.225, 0.225), "What red, green and blue are divided by then."),
    "data.channel_order": Field(
        "rgb", 'The order in which the model takes the colours; "bgr" for some foreign weights.'
    ),
    "data.class_balance": Field(
        0.0,
        "How much more often rare classes are drawn: a class with n of the training clips gets a share of each epoch "
        "that is proportional to n to the power of 1 minus this. 0 takes every clip once an epoch, 1 all classes "
        "alike. Of prepared folders, the classes of all records are read first.",
    ),
    "data.workers": Field(0, "Processes that decode, for hosts of many cores; 0 decodes in threads of this one."),
    "data.threads": Field(0, "Threads that decode where `data.workers` is 0; 0 for as many as cores."),
    "data.max_undecodable": Field(0.01, "Share of the training clips that may fail to decode before the run stops."),
    "augmentation.rand_augment": Field(
        "",
        'RandAugment in the notation of timm, such as "rand-m7-n4-mstd0.5-inc1"; one draw for all frames of a clip. '
        "Empty: none.",
    ),
    "augmentation.rand_augment_on": Field(
        "crop",
        'What RandAugment is applied to: the "crop", or the "frame" before it is cropped, as the loaders of UniFormer '
        "and SlowFast do.",
    ),
    "augmentation.crop": Field(
        "random_resized", 'How training clips are cropped; "multi_scale" is that of TSN and TSM.'
    ),
    "augmentation.crop_scale": Field(
        (0.08, 1.0), 'Smallest and largest area of a "random_resized" crop, as shares of the area of the frame.'
    ),
    "augmentation.crop_ratio": Field(
        (0.75, 4 / 3), 'Smallest and largest width over height of a "random_resized" crop.'
    ),
    "augmentation.crop_sizes": Field(
        (1.0, 0.875, 0.75, 0.66), 'Sides of a "multi_scale" crop, as shares of the short side of the frame.'
    ),
    "augmentation.flip": Field(
        "off", 'Whether half of the clips are mirrored; "label_aware" swaps left and right in labels as well.'
    ),
    "augmentation.repeats": Field(
        1, "Clips made of each video of a batch, which is decoded once (repeated augmentation)."
    ),
    "augmentation.erasing": Field(0.0, "Probability that a box of the clip is replaced by noise."),
    "augmentation.mixup": Field(
        0.0, "Alpha of the Beta distribution that the share of the other clip is drawn from; 0 does not mix."
    ),
    "augmentation.cutmix": Field(
        0.0, "The same as `augmentation.mixup` for cutmix, which replaces a box by that of another clip."
    ),
    "augmentation.mix_probability": Field(1.0, "Probability of mixing a batch at all, if mixup or cutmix is on."),
    "augmentation.mix_switch_probability": Field(0.5, "Probability of cutmix, if both are on."),
    "augmentation.still": Field(
        "none",
        'The still frame that is blended into clips against static bias: a frame of the clip itself ("own", background '
        'erasing), of another clip of the batch ("batch"), or of a bank ("bank", StillMix). Labels stay.',
    ),
    "augmentation.still_share": Field(
        (200.0, 200.0),
        'Both parameters of the Beta distribution of the share that a clip keeps, for "batch" and "bank"; one draw '
        "serves the batch.",
    ),
    "augmentation.still_probability": Field(
        0.5, 'Probability that a clip gets a still frame, for "batch" and "bank"; with "own", all clips do.'
    ),
    "augmentation.still_limit": Field(0.3, 'Largest share of the still frame, for "own"; uniform from 0 on.'),
    "augmentation.still_bank": Field("", 'The bank for "bank": a file that `motion-vit frames score` writes.'),
    "batch_size": Field(32, "Videos of a step, over all devices; each becomes `augmentation.repeats` clips."),
    "epochs": Field(60.0, "How often the training videos are gone through; may be a fraction."),
    "accumulation": Field(
        1,
        "Equal parts that the batch of a step is computed in, one after the other, for batches that do not fit the "
        "memory of the devices. The gradient is that of the whole batch, but BatchNorm takes the statistics of each "
        "part, as `model.options.batch_norm_groups` does with as many groups; its running statistics take their mean.",
    ),
    "mesh.data": Field(
        -1, "Devices along this axis, each with a part of the batch. One axis may be -1: as many as are left."
    ),
    "mesh.fsdp": Field(
        1, "Devices that have a part of the batch each, and of the parameters and the moments of the optimizer."
    ),
    "mesh.frames": Field(1, "Devices that have a part of the frames of every clip each; divides `data.frames`."),
    "sharding_rules": Field(
        ((r".*", "fsdp"),),
        'How parameters are split over the devices; the first pattern that matches the path of one decides. "fsdp": '
        'along the longest dimension that the devices of that axis divide. "replicated", as what no pattern matches: '
        "not at all. A tuple holds an axis of the mesh or None for each dimension.",
    ),
    "remat": Field(
        "none",
        'What the backward pass computes again instead of keeping it: "none" of the activations, all but the outputs '
        'of matrix products ("matmuls"), or all but the inputs of blocks ("blocks").',
    ),
    "scan_blocks": Field(False, "Whether equal blocks of the model are compiled once, as a loop."),
    "ema": Field(
        (),
        "Decay of the exponential moving average of parameters; the first pattern that matches the path of one "
        'decides, such as `((".*", 0.9999),)`. Empty keeps no averages; what no pattern matches follows exactly.',
    ),
    "optimizer.name": Field(
        "adamw",
        'Or "sgd": momentum, and weight decay as part of the gradient, as in PyTorch. Or "muon": momentum that is '
        "orthogonalised, for the kernels of hidden layers, and AdamW for the other parameters.",
    ),
    "optimizer.learning_rate": Field(2e-4, "The largest learning rate, after the warm-up."),
    "optimizer.schedule": Field("cosine", "How the learning rate falls after the warm-up."),
    "optimizer.warmup_epochs": Field(5.0, "Epochs in which the learning rate rises."),
    "optimizer.warmup_start": Field(1e-6, "Learning rate of the first step."),
    "optimizer.final_learning_rate": Field(1e-6, "Where the cosine ends."),
    "optimizer.decay_epochs": Field((), 'Epochs at which the schedule "step" lowers the learning rate.'),
    "optimizer.decay_factor": Field(0.1, 'What the schedule "step" multiplies the learning rate by then.'),
    "optimizer.weight_decay": Field(0.05, "Weight decay of the parameters that `optimizer.decay_mask` chooses."),
    "optimizer.decay_mask": Field(
        ((r".*/bias", False),),
        "Whether a parameter is decayed; the first pattern that matches its path decides. What no pattern matches is "
        "decayed if it has more than one dimension.",
    ),
    "optimizer.betas": Field((0.9, 0.999), "Decays of the two moments of AdamW, also beside Muon."),
    "optimizer.eps": Field(1e-8, "What AdamW adds to the root of the second moment, also beside Muon."),
    "optimizer.momentum": Field(0.9, "Momentum of SGD."),
    "optimizer.nesterov": Field(False, "Whether the momentum of SGD is that of Nesterov."),
    "optimizer.muon.momentum": Field(0.95, "Momentum of Muon."),
    "optimizer.muon.matrices": Field(
        (),
        "How many matrices stand side by side along the last axis of a parameter, each orthogonalised by itself; 0 "
        "leaves it to AdamW. The first pattern that matches its path decides. What no pattern matches: 3 for fused "
        "queries, keys and values, 1 for other kernels of hidden layers.",
    ),
    "optimizer.clip_norm": Field(
        20.0, "Largest norm of the gradient over all parameters that are not frozen; 0 does not clip."
    ),
    "optimizer.layer_decay": Field(
        1.0, "Factor of the learning rate from each layer to the one before it; the head has the full rate."
    ),
    "optimizer.learning_rate_multipliers": Field(
        (),
        "Factor of the learning rate of a parameter, besides that of its layer; the first pattern that matches its "
        'path decides, such as `(("head/.*", 10.0),)`. 1 where no pattern matches.',
    ),
    "optimizer.frozen": Field(
        (),
        "Whether a parameter stays as it is; the first pattern that matches its path decides, such as "
        '`(("stage[12]/.*", True),)`. What no pattern matches is trained. The running statistics of BatchNorm follow '
        "the data in any case.",
    ),
    "loss.name": Field(
        "cross_entropy",
        'The loss of the labels: "cross_entropy", "class_weighted", "focal", "evidential", or one of your own.',
    ),
    "loss.options": Field({}, 'Options of that loss, such as `{"gamma": 2.0}` of "focal".'),
    "loss.label_smoothing": Field(0.1, "Share of the target that is spread over all classes."),
    "loss.classification": Field(1.0, "Weight of that loss; 0 trains without labels, on the other losses alone."),
    "loss.correspondence.photometric": Field(
        0.0,
        "Weight of the difference in colour between a frame and what its motion field finds in the next one. It needs "
        "a model with cost volumes, and no labels.",
    ),
    "loss.correspondence.smoothness": Field(
        0.1, "Of the photometric loss, the weight of fields that change from patch to patch."
    ),
    "loss.correspondence.walk": Field(
        0.0, "Weight of the contrastive random walk over cost volumes, to later frames and back."
    ),
    "loss.correspondence.edge_dropout": Field(
        0.1, "Of the walk, the probability that a patch cannot be reached from another."
    ),
    "pretraining.mask": Field(
        "tube",
        'Which tubelets of a clip are hidden: the same places in all frames ("tube"), others in each ("random"), or '
        'places that follow what moves ("motion", this library\'s own).',
    ),
    "pretraining.mask_ratio": Field(0.9, "Share of the places of a frame that are hidden."),
    "pretraining.normalise_target": Field(
        True, "Whether each colour of a tubelet is predicted without its mean, divided by its deviation."
    ),
    "pretraining.decoder_depth": Field(
        4, "Blocks of the decoder, which ends with pretraining. Masked filling has none, nor the fields that follow."
    ),
    "pretraining.decoder_width": Field(0, "Channels of its tokens; 0 for half of the encoder's."),
    "pretraining.decoder_heads": Field(0, "Its attention heads, which divide the width; 0 for half of the encoder's."),
    "pretraining.decoder_mask": Field(
        0.0,
        "Share of the tokens that the decoder leaves out, in the pattern of VideoMAE V2, which has 0.5; 0 predicts all "
        "that are hidden.",
    ),
    "distillation.teachers": Field(
        (),
        "Trained models whose logits are learned beside the labels, each as `initial_weights` names one. They must "
        "tell the same classes apart, in any order, and take clips of the same frames and size. Empty: none. "
        "`loss.classification` is the weight of the labels.",
    ),
    "distillation.weight": Field(1.0, "Weight of the loss between the logits of the model and those of the teachers."),
    "distillation.temperature": Field(
        1.0, "What all logits are divided by in that loss; above 1, improbable classes count more."
    ),
    "distillation.weighting": Field(
        "equal",
        'How several teachers are joined: "equal", by the mean of their logits, or "per_clip", by how well each knows '
        "the label of the clip.",
    ),
    "distillation.sharpness": Field(
        1.0, 'Of "per_clip", what the losses of the teachers are divided by; the larger, the more equal their weights.'
    ),
    "distillation.feature_weight": Field(
        0.0, "Weight of the loss between the features of the model and those of the teachers; 0 for none."
    ),
    "distillation.features": Field(
        (),
        "Of that loss, the pairs of features, each a name of the model and one of the teacher, as "
        "`motion-vit visualize --list` has them. Empty: the last features before the heads.",
    ),
    "distillation.bfloat16": Field(
        False, "Whether teachers are kept and computed in bfloat16, in half the memory, whatever they were trained in."
    ),
    "debiasing.weight": Field(
        0.0,
        "Weight of debiasing (DEAR): heads beside the model, one that sees motion and two that cannot, and features of "
        "the first that are to be independent of theirs. 0 for none; published: 0.1.",
    ),
    "debiasing.features": Field(
        "",
        "The features that the heads stand on, a name of `motion-vit visualize --list` that ends with `_output`. "
        "Empty: the output of the last but one stage; of models without stages, the last features.",
    ),
    "debiasing.estimator": Field(
        "unbiased", 'How independence is estimated from a batch: "unbiased", from 4 clips on, or "biased".'
    ),
    "debiasing.hsic_weight": Field(
        20.0, "Weight of independence beside the losses of the heads, within `debiasing.weight`."
    ),
    "debiasing.dropout": Field(0.5, "Probability of dropping a feature before the logits of the heads."),
    "unlabelled.data": Field(
        "",
        "Videos to learn from without their labels, which an average of the model itself gives them (`ema`). As "
        "`data.train`, and a list file needs no column `label`. Empty: none.",
    ),
    "unlabelled.per_labelled": Field(1, "Unlabelled videos of a step for each video of `batch_size`."),
    "unlabelled.labels_known": Field(
        False,
        "Whether these videos have labels after all, of classes of the training data. They are not learned; the log "
        "has the share of them that was found, `pseudo_label_top1`.",
    ),
    "unlabelled.method": Field(
        "fixmatch",
        'Which labels count: "fixmatch", those that the average is sure of, or "adaptive", all, by how sure it is, and '
        "how steady in several passes with dropout.",
    ),
    "unlabelled.threshold": Field(0.8, 'Of "fixmatch", the least probability of a label that counts.'),
    "unlabelled.passes": Field(10, 'Of "adaptive", the passes with dropout.'),
    "unlabelled.warmup_epochs": Field(
        5.0, 'Of "adaptive", the epochs that learn from labels alone. Both weights rise from then to the last epoch.'
    ),
    "unlabelled.weight": Field(2.0, "Weight of the loss on strong views of unlabelled clips."),
    "unlabelled.mix_weight": Field(
        2.0, "Weight of the loss on strong views that have exchanged patches in pairs; 0 does not mix."
    ),
    "unlabelled.mix_alpha": Field(
        10.0, "Both parameters of the Beta distribution that the share of patches that a clip keeps is drawn from."
    ),
    "unlabelled.mix_patch": Field(
        16, "Pixels of a side of such a patch; best those of the patches of the model, if it has some."
    ),
    "unlabelled.mix_compared": Field(
        "logits",
        'What is compared with the probabilities of a mixed clip: the "logits" of the model, as in the published code, '
        'or its "probabilities".',
    ),
    "unlabelled.rand_augment": Field(
        "rand-m7-n4-mstd0.5-inc1",
        "RandAugment of strong views; weak ones are cropped and flipped alone. Empty: none.",
    ),
    "unlabelled.strong_time": Field(
        "off",
        'What is done to the order of frames in strong views: "repeat" shows few of them more often; "shuffle" and '
        '"reverse" change what moves where, and are not for classes that are told apart by it.',
    ),
    "evaluation.batch_size": Field(32, "Views that are evaluated at once."),
    "evaluation.clips": Field(1, "Clips that are spread over each video; their predictions are averaged."),
    "evaluation.crops": Field(1, "Crops of each clip: the centre, or three along the long side."),
    "evaluation.every_epochs": Field(1.0, "Epochs from one evaluation to the next; there is one at the end as well."),
    "evaluation.ema": Field(False, "Whether the averages of the parameters are evaluated instead of the parameters."),
    "checkpoint.every_steps": Field(1000, "Steps from one checkpoint to the next, besides one after every evaluation."),
    "checkpoint.keep": Field(2, "How many of the latest checkpoints are kept, besides the best."),
    "checkpoint.best_metric": Field(
        "top1",
        "What the best checkpoint is best in: accuracy, the mean accuracy of the classes (`mean_class`), or the "
        "smallest cross entropy (`loss`).",
    ),
    "early_stopping.metric": Field("loss", "What must get better in validation; as for `checkpoint.best_metric`."),
    "early_stopping.patience": Field(
        0, "Evaluations without a new best value after which the run ends; 0 never ends it early."
    ),
    "log.every_steps": Field(50, "Steps from one line of the log to the next."),
    "log.writers": Field(
        ("tensorboard",),
        "What gets the metrics besides the lines in the workdir: `tensorboard`, `wandb` and `mlflow`. The last two "
        "need the extra of their name.",
    ),
}
"""Dotted name -> field, in the order in which they are shown."""
