"""The motion family on the embedded motion dataset, on equal terms: the rows of docs/comparison.md.

Command:            motion-vit compare --config configs/comparison.py --workdir build/comparison --seeds 3 --jobs 2
One row alone:      motion-vit train --config configs/comparison.py:resnet-m2a-tsm --workdir build/resnet-m2a-tsm
                      --config.data.train=build/comparison/prepared --config.data.validation=build/comparison/prepared
Data:               the embedded dataset, which the command renders: 10 classes that differ in motion alone.
Expected time:      see docs/comparison.md
Expected accuracy:  see docs/comparison.md
"""

from typing import Any

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

# Tokens of 4 pixels in stage 3, and frames so far apart that objects move by one or two of them.
_UNIFORMER = {"widths": (16, 24, 32, 48), "depths": (1, 1, 2, 1), "head_channels": 16, "patch_sizes": (2, 2, 1, 2)}
_TIMESFORMER = {"width": 48, "depth": 3, "heads": 3, "patch_size": 4}
_RESNET = {"widths": (32, 48, 64, 96), "depths": (1, 1, 1, 1)}
_PROMPT = {"input_adapter": "motion_prompt", "prompt_regularization": 1.0}


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipe of each row."""
    emim = ("uniformer_emim_tiny", _UNIFORMER)
    timesformer = ("timesformer_tiny", _TIMESFORMER)
    resnet = ("resnet18_tiny", _RESNET)
    return {
        "uniformer": _config("uniformer_tiny", _UNIFORMER),
        "emim": _config(*emim),
        "emim-no-motion-branch": _config(*emim, motion_branch=False),
        "timesformer": _config(*timesformer),
        "timesformer+vmp": _config(*timesformer, **_PROMPT),
        "timesformer+cost-volume": _config(*timesformer, temporal_attention="cost_volume"),
        "resnet-tsn": _config(*resnet),
        "resnet-tsm": _config(*resnet, temporal_shift=True),
        "resnet-m2a": _config(*resnet, motion_module="m2a"),
        "resnet-m2a-tsm": _config(*resnet, motion_module="m2a", temporal_shift=True),
        "emim+vmp": _config(*emim, **_PROMPT),
        "emim-window3": _config(*emim, window=3),
        "emim-window5": _config(*emim, window=5),
        "emim-window9": _config(*emim, window=9),
        "emim-gl": _config(*emim, placement="gl"),
        "emim-ll": _config(*emim, placement="ll"),
        "emim-stage3": _config(*emim, placement="stage3"),
        "emim-stage4": _config(*emim, placement="stage4"),
    }


def _config(model: str, options: dict[str, Any], **changes: Any) -> ConfigDict:
    config = default_config()
    config.model.name = model
    config.model.options.update({**options, **changes})
    # Every fifth frame: three of them, and a fourth for motion prompts, fit into the shortest video of 16.
    config.data.frames = 3
    config.data.size = 24
    config.data.sampling = "dense"
    config.data.stride = 5
    config.augmentation.crop_scale = (1.0, 1.0)
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.batch_size = 16
    config.epochs = 2.4
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_epochs = 0.6
    config.optimizer.warmup_start = 1e-4
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 100
    config.evaluation.every_epochs = 100.0  # at the end alone
    config.checkpoint.every_steps = 100_000  # likewise
    config.log.every_steps = 50
    return config
