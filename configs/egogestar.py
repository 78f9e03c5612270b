"""Ten pointing gestures of EgoGestAR, filmed from the eyes: a small real set on which motion alone tells the classes.

Data:               the folder `testvideo` of https://github.com/varunj/EgoGestAR (Jain et al., GestARLite, arXiv
                    1904.09843; public, without a licence file). Files are called testvideo_GESTURE_NUMBER.mp4; those of
                    random movements are no class. A list of them, without a split:
                      (echo path,label; for f in testvideo/testvideo_*_*.mp4; do g=${f#*testvideo_};
                      echo "$f,${g%_*}"; done) > egogestar.csv
                    Add a column `split` with train and validation, so that a camera is on one side alone.
Commands:           motion-vit prepare list --source egogestar.csv --out data/egogestar --codec h264-fast
                    motion-vit train --config configs/egogestar.py --workdir runs/egogestar
                    motion-vit evaluate --checkpoint runs/egogestar --data data/egogestar
                    motion-vit evaluate --checkpoint runs/egogestar --data data/egogestar --frame-order frozen
Other networks:     --config configs/egogestar.py:emim (without motion prompts), :emim-no-motion-branch, :uniformer
                    (EMIM's backbone alone), :uniformer+vmp, :resnet-tsm, :resnet-m2a, :timesformer
All of them:        motion-vit compare --config configs/egogestar.py --workdir build/egogestar --seeds 3
Expected time:      21 to 27 minutes on one core of a machine with other work
Expected accuracy:  99.1 ± 1.5 % of 39 clips of another camera, three seeds; frozen 6.8 %, shuffled 11.1 %
"""

from typing import Any

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

# Tokens of 8 pixels in stage 3: a finger is about that wide, and moves by one to three of them from frame to frame.
_UNIFORMER = {"patch_sizes": (4, 2, 1, 2)}
_PROMPT = {"input_adapter": "motion_prompt", "prompt_regularization": 1.0}
_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "emim+vmp": ("uniformer_emim_tiny", {**_UNIFORMER, **_PROMPT}),
    "emim": ("uniformer_emim_tiny", _UNIFORMER),
    "emim-no-motion-branch": ("uniformer_emim_tiny", {**_UNIFORMER, "motion_branch": False}),
    "uniformer": ("uniformer_tiny", _UNIFORMER),
    "uniformer+vmp": ("uniformer_tiny", {**_UNIFORMER, **_PROMPT}),
    "resnet-tsm": ("resnet18_tiny", {"temporal_shift": True}),
    "resnet-m2a": ("resnet18_tiny", {"temporal_shift": True, "motion_module": "m2a"}),
    "timesformer": ("timesformer_tiny", {"patch_size": 8}),
}


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipe of each row."""
    return {row: _config(row, *network) for row, network in _ROWS.items()}


def get_config(row: str = "emim+vmp") -> ConfigDict:
    """Returns the recipe of a row.

    Args:
      row: a network.
    """
    if row not in _ROWS:
        raise ValueError(f"the row is {row!r}, but must be one of {', '.join(_ROWS)}")
    return get_configs()[row]


def _config(row: str, model: str, options: dict[str, Any]) -> ConfigDict:
    config = default_config()
    config.name = row
    config.model.name = model
    config.model.options.update(options)
    config.data.train = "data/egogestar"
    config.data.validation = "data/egogestar"
    config.data.frames = 12
    config.data.size = 64
    # A video is one gesture from its start to its end, at any speed.
    config.data.sampling = "segment"
    config.augmentation.crop_scale = (0.5, 1.0)
    # Left and right are classes.
    config.augmentation.flip = "off"
    config.augmentation.rand_augment = "rand-m5-n2-mstd0.5-inc1"
    # Few clips: small batches, so that there are enough steps.
    config.batch_size = 8
    config.epochs = 60
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 5
    # Four times a frame of each segment: the mean of their logits is worth several points on another camera.
    config.evaluation.clips = 4
    config.evaluation.batch_size = 13
    config.evaluation.every_epochs = 20
    config.checkpoint.every_steps = 500
    config.log.every_steps = 50
    return config
