import numpy as np
import pytest

import motion_vit
from motion_vit.visualization.motion_gates import record_gates


def test_gates_and_attention_of_frames_are_those_of_the_modules(small_model, everything):
    model, variables, clips = small_model("timesformer", motion_module="m2a", depth=1)
    maps = everything("timesformer", motion_module="m2a", depth=1).maps
    found = record_gates(model, variables, clips)
    assert list(found) == ["blocks/block0/motion"]
    gate = found["blocks/block0/motion"]
    channels = np.asarray(maps["blocks/block0/motion/gate"])
    assert channels.shape == (2, 3, 3, 3, 16)
    assert 0 < channels.min() < channels.max() < 1
    np.testing.assert_allclose(gate.gate, channels.mean(axis=-1), atol=1e-5)
    np.testing.assert_allclose(gate.spread, channels.std(axis=-1), atol=1e-5)
    np.testing.assert_allclose(gate.frame_attention, maps["blocks/block0/motion/frame_attention"], atol=1e-5)


def test_modules_without_attention_of_frames_have_a_gate(small_model):
    model, variables, clips = small_model("timesformer", motion_module="tam", depth=1)
    found = record_gates(model, variables, clips, "blocks/*/motion")
    assert {path: gate.frame_attention for path, gate in found.items()} == {"blocks/block0/motion": None}


def test_a_model_without_motion_modules_is_named(small_model):
    with pytest.raises(motion_vit.UserError, match="There is one in models with a motion module"):
        record_gates(*small_model("resnet"))
