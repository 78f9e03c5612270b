"""The table of model families, and what a family from outside of the library can do."""

import jax
import numpy as np
import pytest
from flax import linen as nn

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families import registry
from motion_vit.interop.families.family import HEAD, ModelFamily
from motion_vit.interop.families.layouts import FRAME_PATCHES
from motion_vit.interop.families.name_rules import Scope
from motion_vit.interop.families.registry import register_family
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.uniformer import UniFormer
from motion_vit.models.video_model import Backbone
from motion_vit.modules.linear import Linear
from motion_vit.modules.patch_embedding import PatchEmbedding

EMBEDDING = Scope("patches/", "embedding.")
HEAD_LAYER = Scope().layer("head", "classifier")


class Patches(Backbone):
    """Classifies by the mean of its patches."""

    num_classes: int = 5
    frames: int = 2
    image_size: int = 8
    width: int = 6

    @nn.compact
    def __call__(self, clips, train=False):
        """Classifies clips."""
        patches = PatchEmbedding(self.width, (1, 4, 4), name="patches")(clips)
        return Linear(self.num_classes, name="head")(patches.mean(axis=(1, 2, 3)))


def family(**fields):
    return ModelFamily(
        rules=lambda model: (
            *EMBEDDING.layer("proj", "convolution", FRAME_PATCHES),
            *EMBEDDING.norm("norm", "norm"),
            *HEAD_LAYER,
        ),
        **fields,
    )


@pytest.fixture
def registered(monkeypatch):
    """The class of models, known to importers and exporters during a test."""
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    register_family(
        Patches,
        family(
            parts={"head": HEAD},
            read_options=lambda shapes: {"num_classes": shapes["classifier.bias"][0]},
        ),
    )
    return Patches


def pytorch_weights(num_classes=5):
    rng = np.random.default_rng(0)
    shapes = {
        "embedding.convolution.weight": (6, 3, 4, 4),
        "embedding.convolution.bias": (6,),
        "embedding.norm.weight": (6,),
        "embedding.norm.bias": (6,),
        "classifier.weight": (num_classes, 6),
        "classifier.bias": (num_classes,),
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_weights_of_a_family_from_outside_go_in_and_out(registered):
    weights = pytorch_weights()
    variables, report = load_torch(registered(), weights)
    assert report.complete
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], weights["classifier.weight"].T)
    clips = np.zeros((1, *registered().clip_shape), np.float32)
    clips[0, :, 1, 2, 0] = 1  # one pixel of the first patch: the third column of the second row of the red kernel
    patches = registered().apply(variables, clips, capture_intermediates=True)[1]["intermediates"]["patches"]
    projected = patches["proj"]["__call__"][0][0, 0, 0, 0]
    expected = weights["embedding.convolution.weight"][:, 0, 1, 2] + weights["embedding.convolution.bias"]
    np.testing.assert_allclose(projected, expected, rtol=1e-6)
    arrays = {"/".join(k.key for k in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}
    exported = torch_state_dict(registered(), arrays, step=0)
    assert exported.keys() == weights.keys()
    for name, array in exported.items():
        np.testing.assert_array_equal(array, weights[name])


def test_a_family_from_outside_helps_with_weights_that_do_not_fit(registered):
    with pytest.raises(CheckpointImportError, match=r"num_classes=7. Create it so\.\nOr --new head"):
        load_torch(registered(), pytorch_weights(num_classes=7))
    _, report = load_torch(registered(), pytorch_weights(num_classes=7), anew=["head"])
    assert set(report.anew) == {"classifier.weight", "classifier.bias"}


def test_a_family_from_outside_is_known_behind_motion_prompts(registered):
    weights = {f"model.{name}": array for name, array in pytorch_weights().items()}
    variables, report = load_torch(MotionPrompted(registered()), weights, anew=["prompt"])
    assert report.complete
    np.testing.assert_array_equal(variables["params"]["backbone"]["head"]["bias"], weights["model.classifier.bias"])


def test_a_second_family_of_a_class_is_refused():
    with pytest.raises(motion_vit.UserError, match="UniFormer has a model family already"):
        register_family(UniFormer, family())


@pytest.mark.mistyped
@pytest.mark.parametrize("model_class", [None, "uniformer_s", 3, object, UniFormer()])
def test_what_is_no_class_of_models_has_no_family(model_class):
    with pytest.raises(motion_vit.UserError, match="takes a class of models first"):
        register_family(model_class, family())


@pytest.mark.mistyped
@pytest.mark.parametrize("given", [None, ModelFamily, [], "names"])
def test_what_is_no_family_is_refused(given):
    with pytest.raises(motion_vit.UserError, match=r"the family of Patches is .*, but must be a ModelFamily"):
        register_family(Patches, given)


def test_names_alone_make_a_family():
    bare = family()
    assert bare.options({"classifier.bias": (3,)}) == {}
    assert bare.clips({}) == {}
    assert bare.notes({}, {}) == []
    assert list(bare.parts) == ["head"]
