"""A small EMIM model on the embedded motion dataset: the recipe of `make demo`.

Command:            motion-vit demo --workdir build/demo
                    (renders the dataset, prepares it, trains this recipe, evaluates, predicts)
Again, by itself:   motion-vit train --config demo --workdir build/again --config.data.train=build/demo/prepared
                      --config.data.validation=build/demo/prepared
Expected time:      625 steps of 16 clips; 3 minutes of training on two idle CPU cores at 60 to 69 clips/s, in a demo
                    of 4 min 10 s (seed 0).
Expected accuracy:  98.5, 100.0 and 98.0 % top-1 on 400 held-out videos with the seeds 0, 1 and 2; 9.2 to 11.2 % on
                    frozen and 9.8 to 12.5 % on shuffled frames.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.name = "demo"
    config.model.name = "uniformer_emim_tiny"
    # Tokens of 8 pixels in stage 3 instead of 16, so that objects move by a token within its window.
    config.model.options.patch_sizes = (4, 2, 1, 2)
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
    config.epochs = 2.5
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_epochs = 0.6
    config.optimizer.warmup_start = 4e-4
    config.loss.label_smoothing = 0.0
    config.loss.correspondence.photometric = 6.0  # so that motion fields show motion
    config.evaluation.batch_size = 64
    config.evaluation.clips = 2
    config.evaluation.every_epochs = 2.5  # at the end alone
    config.checkpoint.every_steps = 250
    config.log.every_steps = 50
    return config
