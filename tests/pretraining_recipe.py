"""The smallest masked autoencoder that a recipe makes, for tests."""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

OPTIONS = {"width": 16, "depth": 1, "heads": 2, "patch_size": 8, "initialization": "fan_in"}


def pretraining_recipe() -> ConfigDict:
    """Clips of 4 x 32 x 32 pixels in tubelets of 2 x 8 x 8, of which a quarter is seen."""
    config = default_config()
    config.name = "pretraining"
    config.objective = "masked_autoencoding"
    config.model.name = "videomae_tiny"
    config.model.options.update(OPTIONS)
    config.data.frames, config.data.size = 4, 32
    config.pretraining.mask_ratio = 0.75
    config.pretraining.decoder_depth = 1
    config.batch_size = 8
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.betas = (0.9, 0.95)
    return config
