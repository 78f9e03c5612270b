"""Video transformers that see motion: EMIM and its kin in JAX/Flax."""

from motion_vit.errors import UserError
from motion_vit.models.intermediates import apply_with_intermediates
from motion_vit.models.registry import create_model, list_models

__all__ = ["UserError", "apply_with_intermediates", "create_model", "list_models"]
