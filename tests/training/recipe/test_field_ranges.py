"""Every field of a recipe, and every option of a model or a loss, has a range, and nothing else gets past it."""

import gc
import math
import time
from typing import Any

import pytest
from ml_collections import ConfigDict

from motion_vit import UserError, create_model, list_models
from motion_vit.models.option import option_ranges
from motion_vit.models.options import adapter_class
from motion_vit.models.registry import model_class
from motion_vit.ranges import Choice, Either, Flag, Items, LikeDefault, Number, Options, Range, Rules, Text, Whole
from motion_vit.training.losses.registry import check_loss, list_losses, loss_option_ranges
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import default_config, flatten, set_field
from motion_vit.training.recipe.field_ranges import FIELD_RANGES
from motion_vit.training.recipe.file import load_config

HOSTILE: tuple[Any, ...] = (
    *(10**9, 10**18, 2**63, 10**400, 10**5000, -1, -(10**18), 0, 1.5, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *(None, True, False, "x", "x" * 10**5, "\0", "9" * 5000, b"x", 1j, {}, {"a": 1}, {1: 2}, set(), object()),
    *((), (10**9,), (10**9,) * 4, (math.nan,) * 3, (-1, -1), (1,) * 10**4, [None], [[]], [["x", "y"]], [["x", 10**9]]),
    [[[]]] * 10**4,
)
OWN_RANGES = (Whole, Number, Flag, Choice, Text, Items, Either, Rules, Options)
SECONDS = 1.0


def answers(take: Any, name: str, value: Any) -> str:
    """Gives a value to something; returns "" where it was taken and the message where it was refused."""
    gc.disable()  # a collection of all that other tests have left takes longer than what is measured
    begin = time.thread_time()  # of this thread alone: those that other tests have left may still be busy
    try:
        take(name, value)
    except UserError as error:
        return str(error)
    finally:
        gc.enable()
        assert time.thread_time() - begin < SECONDS, (name, str(value)[:50] if not isinstance(value, int) else "int")
    return ""


def is_in(expected: Range, value: Any) -> bool:
    return expected.holds(tuple(value) if isinstance(value, list) else value)


def take_argument(recipe: str, argument: str) -> None:
    config = load_config(recipe, [argument])
    validate_fields(config)
    create_model(config.model.name, **config.model.options.to_dict())


@pytest.mark.parametrize("name", sorted(flatten(default_config())))
def test_a_field_takes_what_is_in_its_range_and_tells_what_is_not(name: str) -> None:
    expected, config = FIELD_RANGES[name], default_config()
    default = flatten(config)[name]
    assert expected.holds(default)

    def take_field(name: str, value: Any) -> None:
        recipe = default_config() if isinstance(default, dict) else config  # options that are set add up
        set_field(recipe, name, default)
        set_field(recipe, name, value)
        validate_fields(recipe)

    for value in HOSTILE:
        message = answers(take_field, name, value)
        assert message or expected.holds(value)
        if message and not expected.holds(value):
            assert f"config field {name} is " in message
            assert len(message) < 600


def test_there_is_a_range_for_every_field_and_no_other() -> None:
    assert FIELD_RANGES.keys() == flatten(default_config()).keys()


@pytest.mark.fast_cases("r3d_18")
@pytest.mark.mistyped
@pytest.mark.parametrize(
    "name",
    [
        *("uniformer_emim_tiny", "timesformer_tiny", "resnet18_tiny", "slowfast_tiny"),
        *("i3d_inception_tiny", "x3d_tiny", "mobilenetv2_tiny", "r3d_18"),
    ],
)
def test_an_option_takes_what_is_in_its_range_and_tells_what_is_not(name: str) -> None:
    for option, expected in option_ranges(model_class(name)).items():
        for value in HOSTILE:
            message = answers(lambda option, value: create_model(name, **{option: value}), option, value)
            if not is_in(expected, value):
                assert f"{option} is " in message
                assert "but must be " in message
                assert len(message) < 600


@pytest.mark.parametrize("name", list_models())
def test_no_option_of_a_model_lacks_a_range(name: str) -> None:
    adapter = adapter_class("motion_prompt")
    assert adapter is not None
    for option, expected in {**option_ranges(model_class(name)), **option_ranges(adapter)}.items():
        assert not isinstance(expected, LikeDefault), option


@pytest.mark.parametrize("loss", list_losses())
def test_an_option_of_a_loss_takes_what_is_in_its_range_and_tells_what_is_not(loss: str) -> None:
    for option, expected in loss_option_ranges(loss).items():
        for value in HOSTILE:
            message = answers(lambda option, value: check_loss(loss, {option: value}), option, value)
            assert bool(message) != expected.holds(value)
    known = {
        "cross_entropy": set(),
        "class_weighted": {"power", "weights"},
        "focal": {"gamma", "power"},
        "evidential": {"evidence", "risk", "calibration", "annealing_start", "kl"},
    }
    assert loss_option_ranges(loss).keys() == known[loss]


@pytest.mark.parametrize("name", ["batch_size", "epochs", "data.frames", "evaluation.clips", "model.options.widths"])
@pytest.mark.parametrize("text", ["9" * 5000, "1e999", "nan", "(" * 10_000, "[" * 150 + "]" * 150, "-1", "None", ""])
def test_a_hostile_argument_of_the_command_line_is_told(name: str, text: str, tmp_path: Any) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(f"from {default_config.__module__} import default_config as get_config\n")
    with pytest.raises(UserError, match="must be"):
        take_argument(str(recipe), f"--config.{name}={text}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch_size": 10**5, "data.frames": 10**3, "data.size": 10**4},
            "config fields batch_size, .* make 1",
        ),
        ({"augmentation.repeats": 1000, "batch_size": 10**6}, "config fields batch_size, augmentation.repeats"),
        ({"evaluation.batch_size": 10**6, "data.size": 16384}, "config fields batch_size|evaluation.batch_size"),
        ({"evaluation.clips": 1000, "data.frames": 16384, "data.size": 1024}, "config fields .* at most 1.1e"),
    ],
)
def test_sizes_that_are_absurd_together_are_told(changes: dict[str, Any], message: str) -> None:
    config: ConfigDict = default_config()
    for name, value in changes.items():
        set_field(config, name, value)
    with pytest.raises(UserError, match=message):
        validate_fields(config)
