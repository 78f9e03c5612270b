"""The table of each model family: how its weights are called in PyTorch. Imports and exports both read it."""

from collections.abc import Callable, Iterable, Sequence

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.interop.families import timesformer_names, uniformer_names
from motion_vit.interop.families.m2a_names import m2a_rules
from motion_vit.interop.families.name_rules import Layout, Rule, TorchEntry, torch_entry
from motion_vit.interop.families.resnet_names import resnet_rules
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.resnet import ResNet
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer

STEP_COUNTER = "num_batches_tracked"
"""PyTorch's count of BatchNorm updates. It is used only without a momentum, which no model here does."""

RUNNING_MEAN = "running_mean"
"""What lies beside a step counter, in every BatchNorm."""

PROMPTED_BACKBONE = "model."
"""What the authors of video motion prompts put before the names of the network behind them."""

_BLOCK = {"stage": "[1-4]", "block": r"\d+"}
_NUMBER = Layout("[1] to a number", lambda x: x.reshape(()), lambda x: x.reshape(1))
_PROMPT = (Rule("params/prompt/{number}", "vmps.{number}", _NUMBER, {"number": "[mn]"}),)
"""`VideoMotionPrompt` in `timesformer/models/vit.py` of q1xiangchen/VMPs, beside the backbone as `vmps`."""


def _uniformer_rules(model: UniFormer) -> Sequence[Rule]:
    # Motion modules in UniFormer are this library's, and so are the names of their places.
    motion = m2a_rules(
        model.motion_module,
        "stage{stage}/block{block}/motion/",
        "blocks{stage}.{block}.motion.",
        _BLOCK,
    )
    return (*uniformer_names.RULES, *motion)


def _timesformer_rules(model: TimeSformer) -> Sequence[Rule]:
    motion = m2a_rules(model.motion_module, "blocks/block{block}/motion/", "blocks.{block}.motion.", _BLOCK)
    return (*timesformer_names.RULES, *motion)


_RULES: dict[type[nn.Module], Callable[..., Sequence[Rule]]] = {
    UniFormer: _uniformer_rules,
    TimeSformer: _timesformer_rules,
    ResNet: resnet_rules,
}


def torch_entries(model: nn.Module, paths: Iterable[str]) -> dict[str, TorchEntry]:
    """How the variables of a model are called and laid out in PyTorch.

    Args:
      model: a model of `motion_vit.create_model`.
      paths: "/"-joined paths of its variables, which begin with the collection.

    Returns:
      Path -> name and layout in PyTorch.

    Raises:
      UserError: the model has no PyTorch counterpart.
    """
    if isinstance(model, MotionPrompted):
        return _prompted_entries(model, paths)
    if type(model) not in _RULES:
        known = ", ".join(model_class.__name__ for model_class in _RULES)
        raise UserError(f"no PyTorch naming is known for {type(model).__name__}. Known are: {known}.")
    rules = _RULES[type(model)](model)
    return {path: torch_entry(rules, path) for path in paths}


def _prompted_entries(model: MotionPrompted, paths: Iterable[str]) -> dict[str, TorchEntry]:
    behind = {path: path.replace("/backbone/", "/", 1) for path in paths if "/backbone/" in path}
    entries = torch_entries(model.backbone, behind.values())
    of_backbone = {
        path: TorchEntry(PROMPTED_BACKBONE + entries[inner].name, entries[inner].layout)
        for path, inner in behind.items()
    }
    return {path: of_backbone[path] if path in behind else torch_entry(_PROMPT, path) for path in paths}
