import jax
import numpy as np
import pytest

import motion_vit
from motion_vit.visualization import recording


def test_names_come_in_the_order_of_computation(small_model):
    model = small_model("timesformer", depth=11, attention="space_only").model
    outputs = [name for name in recording.names(model) if name.endswith("_output")]
    assert outputs == ["embedding_output", *(f"blocks/block{block}_output" for block in range(11)), "norm_output"]


def test_shapes_are_those_of_the_given_clip(small_model):
    model = small_model("timesformer", depth=1, attention="joint_space_time").model
    assert recording.names(model, (5, 24, 24, 3))["embedding_output"].shape == (1, 1 + 5 * 9, 16)


def test_a_recording_holds_what_was_asked_for_and_nothing_else(small_model, everything):
    model, variables, clips = small_model("videomae")
    logits, maps = everything("videomae")
    assert list(maps) == list(recording.names(model))
    found = recording.record(model, variables, clips, ["norm_output", "*/cost_volume", "embedding*"])
    assert list(found.maps) == ["embedding_output", "blocks/block0/attention/cost_volume", "norm_output"]
    np.testing.assert_allclose(found.logits, logits, rtol=1e-5, atol=1e-5)
    for name, values in found.maps.items():
        np.testing.assert_allclose(values, maps[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_transform_runs_inside_the_program_and_is_compiled_once_for_any_arguments(small_model):
    model, variables, clips = small_model("videomae")
    traced = []

    def row_of(row, maps):
        traced.append(row)
        return {name: values[:, :, row] for name, values in maps.items()}

    first, second = (
        np.asarray(
            recording.record(
                model, variables, clips, ["*cost_volume"], transform=jax.tree_util.Partial(row_of, np.int32(row))
            ).maps["blocks/block0/attention/cost_volume"]
        )
        for row in (0, 1)
    )
    assert first.shape == (2, 2, 3, 2, 9)
    assert np.abs(first - second).max() > 0.1
    assert len(traced) == 1


def test_models_behind_prompts_name_the_backbone_and_the_prompt(small_model):
    names = recording.names(small_model("videomae", input_adapter="motion_prompt").model)
    assert names["prompt/attention_map"].shape == (1, 6, 24, 24)
    assert names["backbone/blocks/block0/attention/cost_volume"].shape == (1, 2, 3, 3, 2, 9)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("blocks/blok0/attention/cost_volume", "Close to it are: blocks/block0/attention/cost_volume"),
        ("*/gate", "There is one in models with a motion module, such as resnet50_m2a"),
        ("prompt/attention_map", "input_adapter='motion_prompt'"),
        ("*/cost_volume_backward", "neighbours='both'"),
        ("flow", "names all"),
    ],
)
def test_what_a_model_does_not_have_is_explained(small_model, pattern, message):
    model, variables, clips = small_model("videomae")
    with pytest.raises(motion_vit.UserError, match=message) as caught:
        recording.record(model, variables, clips, [pattern])
    assert f"no intermediate {pattern!r}" in str(caught.value)


def test_a_clip_that_is_too_short_is_named(small_model):
    model, variables, clips = small_model("uniformer")
    with pytest.raises(motion_vit.UserError, match="at least 2 frames"):
        recording.record(model, variables, clips[:, :1], ["norm_output"])
