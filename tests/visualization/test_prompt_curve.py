import numpy as np
import pytest

import motion_vit
from motion_vit.visualization.prompt_curve import prompt_curve


def test_the_curve_is_what_the_model_does_to_changes(small_model, everything):
    options = {"input_adapter": "motion_prompt", "depth": 1}
    model, variables, clips = small_model("timesformer", **options)
    curve = prompt_curve(model, variables, points=2001)
    middle = np.interp(0.5, curve.attention, curve.change)
    assert middle == pytest.approx(curve.shift, abs=1e-2)
    # The map of the model is the curve, of the change of grey values of the pixels that its clips were made of.
    grey = (clips * 0.225 + 0.45) @ np.float32([0.299, 0.587, 0.114])
    expected = np.interp(np.diff(grey, axis=1), curve.change, curve.attention)
    inside = np.abs(np.diff(grey, axis=1)) < 1
    found = np.asarray(everything("timesformer", **options).maps["prompt/attention_map"])
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)


def test_a_model_without_prompts_is_named(small_model):
    model, variables, _ = small_model("resnet")
    with pytest.raises(motion_vit.UserError, match="input_adapter='motion_prompt'"):
        prompt_curve(model, variables)
