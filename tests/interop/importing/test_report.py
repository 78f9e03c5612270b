"""The report of an import, and the advice that goes with weights that do not fit."""

import json

import goldens
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.importing.report import CheckpointImportError, ImportReport
from motion_vit.interop.importing.state_dict import load_torch


def report(**fields):
    empty = {"source": "w.pth", "loaded": (), "missing": {}, "unexpected": {}, "misshapen": {}, "ignored": ()}
    return ImportReport(**{**empty, **fields})


def refusal(model, weights, **options):
    with pytest.raises(CheckpointImportError) as caught:
        load_torch(model, weights, **options)
    return str(caught.value)


def test_the_report_becomes_json_with_every_name():
    written = json.loads(
        json.dumps(
            report(
                loaded=("a.weight",),
                reshaped={"a.weight": "[out, in] to [in, out]"},
                misshapen={"head.weight": ((10, 3), (12, 3))},
                anew={"b.rpb": (3, 7, 7)},
            ).to_dict()
        )
    )
    assert written["complete"] is False
    assert written["reshaped"] == {"a.weight": "[out, in] to [in, out]"}
    assert written["misshapen"] == {"head.weight": [[10, 3], [12, 3]]}
    assert written["anew"] == {"b.rpb": [3, 7, 7]}


def test_what_starts_anew_by_request_does_not_make_a_report_incomplete():
    assert report(anew={"head.bias": (3,)}, replaced={"head.bias": (10,)}).complete


def test_the_text_counts_what_was_reshaped_and_names_what_was_inflated():
    text = str(
        report(
            loaded=("a", "b"),
            reshaped=dict.fromkeys("ab", "[out, in] to [in, out]"),
            inflated={"stem": ((8, 3, 4, 4), (8, 3, 3, 4, 4))},
        )
    )
    assert "2 of the loaded ones reshaped from [out, in] to [in, out]" in text
    assert "stem (8, 3, 4, 4) in the source, (8, 3, 3, 4, 4) in the model" in text


def test_long_lists_are_cut_in_the_text_alone():
    long = report(missing={f"block{number}": (1,) for number in range(500)})
    assert "... and 480 more" in str(long)
    assert len(str(long).splitlines()) < 30
    assert len(long.to_dict()["missing"]) == 500


@pytest.mark.fast_cases("options1-*", "options6-*")
@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"window": 5}, "a model with window=7"),
        ({"placement": "gl"}, "a model with placement=lg"),
        ({"placement": "stage4"}, "a model with placement=lg"),
        ({"motion_branch": False}, "a model with motion_branch=True"),
        ({"position_bias": False}, "a model with position_bias=True"),
        ({"layer_scale": 1e-5}, "a model with layer_scale=None"),
        ({"num_classes": 12}, "a model with num_classes=10"),
        ({"head_channels": 16}, "a model with head_channels=32"),
        ({"window": 5, "num_classes": 12}, "num_classes=10, window=7"),
    ],
)
def test_the_options_that_the_weights_tell_are_named(options, advice):
    model = motion_vit.create_model("uniformer_emim_tiny", **options)
    message = refusal(model, goldens.state_dict("uniformer_emim_tiny"))
    assert advice in message
    assert message.count("=", message.index("a model with"), message.index("Create it so")) == len(options)


def test_layer_scale_in_the_weights_is_told_without_its_initial_value():
    weights = goldens.state_dict("uniformer_emim_tiny_layerscale")
    assert "a model with layer_scale=1.0" in refusal(motion_vit.create_model("uniformer_emim_tiny"), weights)
    load_torch(motion_vit.create_model("uniformer_emim_tiny", layer_scale=1e-6), weights)


def test_weights_of_another_size_name_the_models_of_that_size():
    message = refusal(
        motion_vit.create_model("uniformer_tiny", depths=(1, 1, 2, 1)), goldens.state_dict("uniformer_emim_tiny")
    )
    assert "another network, uniformer_tiny or uniformer_emim_tiny." in message


def test_weights_without_emim_say_how_to_start_it_anew():
    model = motion_vit.create_model("uniformer_emim_tiny")
    message = refusal(model, goldens.state_dict("uniformer_tiny"))
    assert "a model with placement=gg" in message
    assert "--new motion, in Python anew=['motion'], starts the weights that only EMIM and motion modules" in message


def test_a_part_that_starts_anew_is_no_longer_advised():
    weights = goldens.state_dict("uniformer_tiny")
    weights["extra"] = np.zeros(3, np.float32)
    model = motion_vit.create_model("uniformer_emim_tiny", num_classes=12)
    message = refusal(model, weights, anew=["motion"])
    assert "--new motion" not in message
    assert "--new head" in message


def test_an_unknown_part_is_refused():
    model = motion_vit.create_model("uniformer_emim_tiny")
    with pytest.raises(motion_vit.UserError, match=r"'neck' is no part .*The parts are: head, motion"):
        load_torch(model, goldens.state_dict("uniformer_tiny"), anew=["neck"])
