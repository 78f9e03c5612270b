"""A small EMIM model on the embedded motion dataset: what `make demo` trains.

Command:            motion-vit demo --workdir build/demo
                    (renders the dataset, prepares it, trains this recipe, evaluates, predicts)
Again, by itself:   motion-vit train --config configs/demo.py --workdir build/demo/again
Expected time:      5 to 11 minutes of training on two CPU cores, 8 to 15 for the whole demo, as fast as the machine is.
Expected accuracy:  87 to 99.8 % top-1 on 600 held-out videos in two runs of seed 0 on different machines; 9.3 and 9.8 %
                    on frozen, 9.5 and 15.2 % on shuffled frames. It stays at chance for the first 700 to 900 steps, and
                    gets the further the sooner it leaves it.
"""

from ml_collections import ConfigDict

from motion_vit.training.config import default_config


def get_config() -> ConfigDict:
    """The recipe."""
    config = default_config()
    config.name = "demo"
    config.model.name = "uniformer_emim_tiny"
    # The demo puts its own folder here.
    config.data.train = "build/demo/prepared"
    config.data.validation = "build/demo/prepared"
    config.data.frames = 8
    config.data.size = 48
    config.augmentation.crop_scale = (1.0, 1.0)
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.data.sampling = "dense"  # evenly spaced frames: the same speed looks the same in every clip
    config.data.stride = 2
    config.batch_size = 16
    config.epochs = 5
    # At 1e-3 from the start the model stays at chance for a thousand steps; below 4e-4 as well. Once it has found the
    # motion, it learns fastest at 1e-3.
    config.optimizer.warmup_start = 4e-4
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 2.4
    config.label_smoothing = 0.0
    config.evaluation.batch_size = 64
    config.evaluation.clips = 2
    config.evaluation.every_epochs = 1
    config.checkpoint.every_steps = 500
    config.log.every_steps = 50
    return config
