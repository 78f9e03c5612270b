"""Video transformers that see motion: EMIM and its kin in JAX/Flax."""

import importlib
import time
from typing import TYPE_CHECKING, Any

from motion_vit.errors import UserError

if TYPE_CHECKING:
    from motion_vit.interop.families.registry import register_family
    from motion_vit.models.intermediates import apply_with_intermediates
    from motion_vit.models.registry import create_model, list_models, register_model
    from motion_vit.modules.emim import Emim
    from motion_vit.modules.m2a import M2A
    from motion_vit.modules.motion_module import register_motion_module
    from motion_vit.modules.motion_prompt import MotionPrompt
    from motion_vit.ops.cost_volume import cost_volume_attention
    from motion_vit.training.checkpoints.trained_model import TrainedModel
    from motion_vit.training.evaluation.prediction import predict
    from motion_vit.training.evaluation.streaming import stream
    from motion_vit.training.logs.metric_writer import MetricWriter
    from motion_vit.training.losses.registry import register_loss
    from motion_vit.visualization.visualize_video import visualize_video as visualize
    from motion_vit.zoo.load import load

    __version__: str

# When this process began to load the library, in nanoseconds as of files. A newer file may not be what was loaded.
LOADED_NS = time.time_ns()

__all__ = [
    "M2A",
    "Emim",
    "MetricWriter",
    "MotionPrompt",
    "TrainedModel",
    "UserError",
    "__version__",
    "apply_with_intermediates",
    "cost_volume_attention",
    "create_model",
    "list_models",
    "load",
    "predict",
    "register_family",
    "register_loss",
    "register_model",
    "register_motion_module",
    "stream",
    "visualize",
]

# Where each name comes from. It is imported when it is first asked for: those who take an operator need not wait for
# Flax, nor those who build a model for what trains it.
_PLACES = {
    "M2A": "motion_vit.modules.m2a:M2A",
    "MetricWriter": "motion_vit.training.logs.metric_writer:MetricWriter",
    "Emim": "motion_vit.modules.emim:Emim",
    "MotionPrompt": "motion_vit.modules.motion_prompt:MotionPrompt",
    "TrainedModel": "motion_vit.training.checkpoints.trained_model:TrainedModel",
    "apply_with_intermediates": "motion_vit.models.intermediates:apply_with_intermediates",
    "cost_volume_attention": "motion_vit.ops.cost_volume:cost_volume_attention",
    "create_model": "motion_vit.models.registry:create_model",
    "list_models": "motion_vit.models.registry:list_models",
    "load": "motion_vit.zoo.load:load",
    "predict": "motion_vit.training.evaluation.prediction:predict",
    "register_family": "motion_vit.interop.families.registry:register_family",
    "register_loss": "motion_vit.training.losses.registry:register_loss",
    "register_model": "motion_vit.models.registry:register_model",
    "register_motion_module": "motion_vit.modules.motion_module:register_motion_module",
    "stream": "motion_vit.training.evaluation.streaming:stream",
    "visualize": "motion_vit.visualization.visualize_video:visualize_video",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return sorted(__all__)
