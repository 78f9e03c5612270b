"""The smallest recipes that pretrain without labels, for tests."""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

OPTIONS = {"width": 16, "depth": 1, "heads": 2, "patch_size": 8, "initialization": "fan_in"}
FILLING_OPTIONS = {
    "widths": (8, 8, 8, 8),
    "depths": (1, 1, 1, 1),
    "patch_sizes": (4, 1, 1, 1),
    "head_channels": 4,
    "mlp_ratio": 1.0,
    "window": 3,
    "initialization": "fan_in",
}


def pretraining_recipe() -> ConfigDict:
    """Masked autoencoding: clips of 4 x 32 x 32 pixels in tubelets of 2 x 8 x 8, of which a quarter is seen."""
    config = _recipe("masked_autoencoding", "videomae_tiny", OPTIONS)
    config.pretraining.decoder_depth = 1
    return config


def filling_recipe() -> ConfigDict:
    """Masked filling: clips of 4 x 16 x 16 pixels in tubelets of 1 x 4 x 4, and a UniFormer of a block a stage."""
    config = _recipe("masked_filling", "uniformer_emim_tiny", FILLING_OPTIONS)
    config.data.size = 16
    return config


def _recipe(objective: str, model: str, options: dict[str, object]) -> ConfigDict:
    config = default_config()
    config.name = "pretraining"
    config.objective = objective
    config.model.name = model
    config.model.options.update(options)
    config.data.frames, config.data.size = 4, 32
    config.pretraining.mask_ratio = 0.75
    config.batch_size = 8
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.betas = (0.9, 0.95)
    return config
