"""The table of model families: what is known about the foreign weights of each class of models."""

from collections.abc import Iterable

from motion_vit.errors import UserError
from motion_vit.interop.families.family import ModelFamily
from motion_vit.interop.families.inception_i3d import INCEPTION_I3D
from motion_vit.interop.families.mobilenetv2 import MOBILENETV2
from motion_vit.interop.families.motion_prompt import behind_motion_prompt
from motion_vit.interop.families.mvit import MVIT
from motion_vit.interop.families.name_rules import TorchEntry, torch_entry
from motion_vit.interop.families.resnet import RESNET
from motion_vit.interop.families.slowfast import SLOWFAST
from motion_vit.interop.families.timesformer import TIMESFORMER
from motion_vit.interop.families.uniformer import UNIFORMER
from motion_vit.interop.families.video_resnet import VIDEO_RESNET
from motion_vit.interop.families.video_swin import VIDEO_SWIN
from motion_vit.interop.families.videomae import VIDEOMAE
from motion_vit.interop.families.vivit import VIVIT
from motion_vit.interop.families.x3d import X3D_FAMILY
from motion_vit.models.inception_i3d import InceptionI3D
from motion_vit.models.mobilenetv2 import MobileNetV2
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.mvit import MViT
from motion_vit.models.resnet import ResNet
from motion_vit.models.slowfast import SlowFast
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer
from motion_vit.models.video_model import VideoModel
from motion_vit.models.video_resnet import VideoResNet
from motion_vit.models.video_swin import VideoSwin
from motion_vit.models.videomae import VideoMAE
from motion_vit.models.vivit import ViViT
from motion_vit.models.x3d import X3D

_FAMILIES: dict[type[VideoModel], ModelFamily] = {
    UniFormer: UNIFORMER,
    TimeSformer: TIMESFORMER,
    VideoMAE: VIDEOMAE,
    VideoSwin: VIDEO_SWIN,
    MViT: MVIT,
    ViViT: VIVIT,
    ResNet: RESNET,
    MobileNetV2: MOBILENETV2,
    SlowFast: SLOWFAST,
    InceptionI3D: INCEPTION_I3D,
    X3D: X3D_FAMILY,
    VideoResNet: VIDEO_RESNET,
}


def register_family(model_class: type[VideoModel], family: ModelFamily) -> None:
    """Says what is known about the foreign weights of a class of models, which can then be imported and exported.

    Args:
      model_class: the class itself; its subclasses are not meant.
      family: names, and what else is known.

    Raises:
      UserError: what is given are no class of models and no family, or the class has a family already.
    """
    if not (isinstance(model_class, type) and issubclass(model_class, VideoModel)):
        raise UserError(
            f"register_family is given {model_class!r}, but takes a class of models first, which derives from "
            "motion_vit.models.video_model.Backbone."
        )
    if not isinstance(family, ModelFamily):
        raise UserError(
            f"the family of {model_class.__name__} is {family!r}, but must be a ModelFamily of "
            "motion_vit.interop.families.family."
        )
    if model_class in _FAMILIES:
        raise UserError(
            f"{model_class.__name__} has a model family already. Register another class, such as a subclass of it."
        )
    _FAMILIES[model_class] = family


def model_family(model: VideoModel) -> ModelFamily:
    """Looks up what is known about the foreign weights of a model; of one behind motion prompts, about its backbone's.

    Args:
      model: a model of `motion_vit.create_model`.

    Raises:
      UserError: nothing is.
    """
    if isinstance(model, MotionPrompted):
        return behind_motion_prompt(model_family(model.backbone))
    if type(model) not in _FAMILIES:
        known = ", ".join(model_class.__name__ for model_class in _FAMILIES)
        raise UserError(
            f"no foreign weights are known for {type(model).__name__}, and no names for its weights in PyTorch. They "
            f"are for: {known}. register_family of {__name__} adds to these."
        )
    return _FAMILIES[type(model)]


def hugging_face_classes() -> dict[str, type[VideoModel]]:
    """Lists the architectures of transformers whose weights this library takes.

    Returns:
      What transformers' `config.json` calls each, as `model_type` -> class of models.
    """
    return {family.huggingface.model_type: known for known, family in _FAMILIES.items() if family.huggingface}


def torch_entries(model: VideoModel, paths: Iterable[str]) -> dict[str, TorchEntry]:
    """Looks up how the variables of a model are called and laid out in PyTorch.

    Args:
      model: a model of `motion_vit.create_model`.
      paths: "/"-joined paths of its variables, which begin with the collection.

    Returns:
      Path -> name and layout in PyTorch.

    Raises:
      UserError: the model has no PyTorch counterpart, or the rules of its family leave a variable out.
    """
    rules = model_family(model).rules(model)
    return {path: torch_entry(rules, path) for path in paths}
