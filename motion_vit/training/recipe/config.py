"""The recipe: every setting of a training run with its default; reading, writing and comparing recipes.

`motion_vit.training.recipe.file` reads recipes from files.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from ml_collections import ConfigDict

from motion_vit.errors import UserError, did_you_mean
from motion_vit.ranges import Options, refusal, shown

OptimizerName: TypeAlias = Literal["adamw", "sgd", "muon"]
WriterName: TypeAlias = Literal["tensorboard", "wandb", "mlflow"]

# Take whatever the model and the loss take, which check these fields themselves.
_FREE_FIELDS = ("model.options", "loss.options")

# A run may be continued with these changed, because the parameters that it arrives at do not depend on them.
_CHANGEABLE = (
    "name",
    # A checkpoint knows its data by the content.
    "data.train",
    "data.validation",
    "data.workers",
    "data.threads",
    "data.max_undecodable",
    "mesh",
    "sharding_rules",
    "remat",
    "evaluation",
    "checkpoint",
    "log",
)


def default_config() -> ConfigDict:
    """Makes the recipe with the default of every field; types are fixed, unknown fields are refused.

    Returns:
      A `ConfigDict`, locked but for `model.options` and `loss.options`.
    """
    config = ConfigDict(
        {
            "name": "run",  # shown in logs
            "seed": 0,  # of initialisation, data order, augmentation and dropout
            # What the parameters start from: the workdir of another run or a weights folder, such as
            # `motion-vit import` makes; "" draws them from the seed. The head starts anew where the classes are others.
            "initial_weights": "",
            "model": {
                "name": "uniformer_emim_s",  # one of motion_vit.list_models()
                "options": ConfigDict(),  # passed to motion_vit.create_model; num_classes comes from the list file
            },
            "data": {
                # A list file (CSV with header path,label), a folder that `motion-vit prepare` made, or FOLDER:SPLIT; or
                # "tfds:NAME:SPLIT", a set that tensorflow_datasets has prepared.
                "train": "",  # a folder alone means its split `train`
                "validation": "",  # a folder alone means its split `validation`; "" trains without validation
                "frames": 16,  # frames of a clip
                "size": 224,  # pixels of a side of the square crop
                "sampling": "segment",  # "segment" (Something-Something) or "dense" (Kinetics)
                "stride": 4,  # frames between sampled frames, for "dense"; ticks where data.fps is set
                # Ticks per second of the clock that "dense" samples by, taking the frame nearest in time to each, so
                # that videos of all frame rates show the same motion; 0 counts frames, as the published recipes do.
                "fps": 0.0,
                "mean": (0.45, 0.45, 0.45),  # of red, green, blue in [0, 1]
                "std": (0.225, 0.225, 0.225),
                "channel_order": "rgb",  # in which the model takes them, or "bgr", as some foreign weights do
                "workers": 0,  # processes that decode, for hosts of many cores; 0 decodes in threads of this one
                "threads": 0,  # those threads; 0 for as many as cores
                "max_undecodable": 0.01,  # share of the training clips that may fail to decode before the run stops
            },
            "augmentation": {
                # On the host, one draw for all frames of a clip.
                "rand_augment": "",  # in timm's notation, such as "rand-m7-n4-mstd0.5-inc1"
                "rand_augment_on": "crop",  # or "frame": before the crop, as the UniFormer and SlowFast loaders do
                "crop": "random_resized",  # or "multi_scale" (TSN, TSM)
                "crop_scale": (0.08, 1.0),  # area of a random_resized crop, as a share of the frame's
                "crop_ratio": (0.75, 4 / 3),  # width over height of a random_resized crop
                "crop_sizes": (1.0, 0.875, 0.75, 0.66),  # sides of a multi_scale crop, as shares of the short side
                "flip": "off",  # "on" mirrors half of the clips; "label_aware" swaps left and right in labels as well
                "repeats": 1,  # clips made of each video of a batch, decoded once (repeated augmentation)
                # On the device, after normalisation.
                "erasing": 0.0,  # probability that a box of the clip is replaced by noise
                "mixup": 0.0,  # alpha of the Beta distribution that the share of the other clip is drawn from; 0: off
                "cutmix": 0.0,  # the same for cutmix
                "mix_probability": 1.0,  # of mixing a batch at all, if mixup or cutmix is on
                "mix_switch_probability": 0.5,  # of cutmix, if both are on
            },
            "batch_size": 32,  # videos of a step, over all devices; each becomes augmentation.repeats clips
            "epochs": 60.0,
            # Equal parts that a step's batch is computed in, one after the other, for batches that do not fit the
            # devices' memory. The gradient is that of the whole batch, but BatchNorm takes the statistics of each part,
            # as model.options.batch_norm_groups does with as many groups; its running statistics take their mean.
            "accumulation": 1,
            # Devices along each axis; one of them may be -1: as many as are left.
            "mesh": {
                "data": -1,  # each has a part of the batch
                "fsdp": 1,  # each has a part of the batch, and of the parameters and the optimizer's moments
                "frames": 1,  # each has a part of the frames of every clip; divides data.frames
            },
            # First match decides, over "/"-joined parameter paths, how a parameter is split over the devices: "fsdp"
            # (the longest dimension that the devices of that axis divide), "replicated", or a tuple that holds for each
            # dimension an axis of the mesh or None. What no pattern matches is replicated.
            "sharding_rules": ((r".*", "fsdp"),),
            # What the backward pass computes again instead of keeping it: "none" of the activations, all but the
            # outputs of matrix products ("matmuls"), or all but the inputs of blocks ("blocks").
            "remat": "none",
            "scan_blocks": False,  # compile equal blocks of the model once, as a loop
            # First match decides, over "/"-joined parameter paths: the decay of the parameter's exponential moving
            # average, such as ((r".*", 0.9999),). () keeps no averages; what no pattern matches follows exactly.
            "ema": (),
            "optimizer": {
                # Or "sgd": momentum, and weight decay as part of the gradient, as in PyTorch. Or "muon": momentum that
                # is orthogonalised, for the kernels of hidden layers, and AdamW for the other parameters.
                "name": "adamw",
                "learning_rate": 2e-4,  # the largest, after the warm-up
                "schedule": "cosine",  # after the warm-up; or "step"
                "warmup_epochs": 5.0,
                "warmup_start": 1e-6,  # learning rate of the first step
                "final_learning_rate": 1e-6,  # where the cosine ends
                "decay_epochs": (),  # of "step": when the learning rate falls
                "decay_factor": 0.1,  # of "step": what it is multiplied by then
                "weight_decay": 0.05,
                # First match decides, over "/"-joined parameter paths: whether the parameter is decayed. What no
                # pattern matches is decayed if it has more than one dimension.
                "decay_mask": ((r".*/bias", False),),
                "betas": (0.9, 0.999),  # of AdamW, also beside Muon
                "eps": 1e-8,  # of AdamW, also beside Muon
                "momentum": 0.9,  # of SGD
                "nesterov": False,  # of SGD: whether its momentum is Nesterov's
                "muon": {
                    "momentum": 0.95,
                    # First match decides, over "/"-joined parameter paths: how many matrices stand side by side along
                    # the last axis of the parameter, each orthogonalised by itself; 0 leaves it to AdamW. What no
                    # pattern matches: 3 for fused queries, keys and values, 1 for other kernels of hidden layers.
                    "matrices": (),
                },
                "clip_norm": 20.0,  # of the gradient over all parameters that are not frozen; 0 does not clip
                # Factor of the learning rate from each layer to the one before it; the head has the full rate.
                "layer_decay": 1.0,
                # First match decides: the factor of the parameter's learning rate, besides that of its layer, such as
                # ((r"head/.*", 10.0),); 1 where no pattern matches.
                "learning_rate_multipliers": (),
                # First match decides: whether the parameter stays as it is, such as ((r"stage[12]/.*", True),). What no
                # pattern matches is trained. BatchNorm's running statistics follow the data in any case.
                "frozen": (),
            },
            "loss": {
                # Of the labels: "cross_entropy", "class_weighted" or "focal", or one that was registered.
                "name": "cross_entropy",
                "options": ConfigDict(),  # of that loss, such as {"gamma": 2.0} of "focal"
                "label_smoothing": 0.1,  # share of the target that is spread over all classes
                "classification": 1.0,  # weight of that loss; 0 trains without labels, on what follows alone
                # On the cost volumes of the model, without labels: see docs/motion_losses.md.
                "correspondence": {
                    # Weight of the difference in colour between a frame and what its motion field finds in the next.
                    "photometric": 0.0,
                    "smoothness": 0.1,  # of that, the weight of fields that change from patch to patch
                    "walk": 0.0,  # weight of the contrastive random walk: to later frames and back
                    "edge_dropout": 0.1,  # of that, the probability that a patch cannot be reached from another
                },
            },
            "evaluation": {
                "batch_size": 32,  # views at once
                "clips": 1,  # clips spread over each video
                "crops": 1,  # 1 (centre) or 3 along the long side
                "every_epochs": 1.0,
                "ema": False,  # of the averages of the parameters instead of the parameters
            },
            "checkpoint": {
                "every_steps": 1000,  # besides one after every evaluation
                "keep": 2,  # latest checkpoints, besides the best
            },
            "log": {
                "every_steps": 50,
                # What the metrics go to besides metrics.jsonl: "tensorboard", "wandb" and "mlflow"; the last two need
                # `pip install 'motion_vit[wandb,mlflow]'`.
                "writers": ("tensorboard",),
            },
        }
    )
    config.lock()
    config.model.options.unlock()
    config.loss.options.unlock()
    return config


def config_from_dict(values: Mapping[str, Any]) -> ConfigDict:
    """Makes a recipe from a nested mapping such as `json.loads` returns, for example from a checkpoint.

    Args:
      values: fields; missing ones keep their default.

    Returns:
      The recipe.

    Raises:
      UserError: a field is unknown or a value has the wrong type.
    """
    config = default_config()
    for key, value in flatten(values).items():
        set_field(config, key, value)
    return config


def flatten(values: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Flattens a recipe to dotted names; `model.options` and `loss.options` stay mappings of free keys.

    Args:
      values: a recipe or its nested mapping.

    Returns:
      Dotted name -> value.
    """
    nested = values.to_dict() if isinstance(values, ConfigDict) else values
    flat: dict[str, Any] = {}

    def visit(prefix: str, node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            name = prefix + key
            if isinstance(value, Mapping) and name not in _FREE_FIELDS:
                visit(name + ".", value)
            else:
                flat[name] = value

    visit("", nested)
    return flat


def to_json(config: ConfigDict) -> str:
    """Formats the whole recipe as indented JSON.

    Args:
      config: the recipe.

    Returns:
      JSON text.
    """
    return json.dumps(config.to_dict(), indent=2)


def differing_fields(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Finds the fields in which the training of two recipes differs.

    Args:
      old: a recipe.
      new: another one.

    Returns:
      Dotted name -> (old value, new value), without fields that only change logs, checkpoints or evaluation.
    """
    # Both through JSON, which holds lists for tuples.
    before, after = (flatten(json.loads(to_json(config))) for config in (old, new))
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not _is_changeable(name)
    }


def _is_changeable(name: str) -> bool:
    return any(name == field or name.startswith(field + ".") for field in _CHANGEABLE)


def set_field(config: ConfigDict, key: str, value: Any) -> None:
    """Sets one field of a recipe.

    Args:
      config: changed in place.
      key: the field's dotted name.
      value: of the field's type.

    Raises:
      UserError: there is no such field, or the value has the wrong type.
    """
    known = flatten(config)
    for field in _FREE_FIELDS:
        if key.startswith(field + "."):
            _merge_options(config, field, {key.removeprefix(field + "."): value})
            return
    if key not in known:
        hint = did_you_mean(key, known) or f" The fields are: {', '.join(sorted(known))}."
        raise UserError(f"unknown config field {key!r}.{hint}")
    if key in _FREE_FIELDS:
        if not Options().holds(value):
            raise UserError(f"config field {refusal(key, value, Options())}.")
        _merge_options(config, key, value)
        return
    expected = type(known[key])
    # ConfigDict takes None for anything, and a bool for an int, because Python does. It also writes a whole value of
    # another type into its error, however long.
    accepted = {float: (float, int), tuple: (tuple, list)}.get(expected, expected)
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise _wrong_type(key, value, expected)
    parent_name, _, name = key.rpartition(".")
    parent = config[parent_name] if parent_name else config
    try:
        parent[name] = value
    except (TypeError, OverflowError) as error:  # the latter of a whole number beyond any float
        raise _wrong_type(key, value, expected) from error


def _wrong_type(key: str, value: Any, expected: type) -> UserError:
    return UserError(
        f"config field {key} is {shown(value)} ({type(value).__name__}), but must be of type {expected.__name__}."
    )


def _merge_options(config: ConfigDict, field: str, options: Mapping[str, Any]) -> None:
    parent, _, name = field.rpartition(".")
    free = config[parent][name]
    with free.ignore_type():
        for option, value in options.items():
            free[option] = value
