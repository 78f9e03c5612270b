import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError, register_loss
from motion_vit.training.logs.writers import read_json_lines
from motion_vit.training.loop.loop import train
from motion_vit.training.losses import registry
from motion_vit.training.losses.registry import list_losses, make_loss
from motion_vit.training.recipe.checks import validate


def squared_error(clips_of_class: Sequence[int], /, *, scale: float = 1.0) -> Callable[..., jax.Array]:
    """The squared error of probabilities (Brier score)."""
    return lambda logits, targets: scale * jnp.sum((jax.nn.softmax(logits) - targets) ** 2, axis=-1)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of the library and `squared_error`; afterwards those of the library."""
    monkeypatch.setattr(registry, "_LOSSES", dict(registry._LOSSES))
    register_loss("squared_error", squared_error)


@pytest.mark.usefixtures("registered", "light_runs")
def test_a_recipe_trains_with_a_loss_of_ones_own(small_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    small_config.loss.name = "squared_error"
    small_config.loss.options.scale = 0.0
    small_config.data.validation = ""
    train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=2)
    assert read_json_lines(tmp_path / "metrics.jsonl")[0]["loss"] == 0
    assert "squared_error" in list_losses()


@pytest.mark.usefixtures("light_runs")
@pytest.mark.fast_cases("focal-*")
@pytest.mark.parametrize(("name", "options"), [("focal", {"gamma": 3.0}), ("class_weighted", {"power": 0.5})])
def test_a_recipe_trains_with_each_loss(
    name: str, options: dict, small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    small_config.loss.name = name
    small_config.loss.options.update(options)
    small_config.data.validation = ""
    result = train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=2)
    assert result.steps == 2
    assert 0 < read_json_lines(tmp_path / "metrics.jsonl")[0]["loss"] < 10


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focl", {}, r"loss\.name is 'focl', but must be one of .* Did you mean 'focal'\?"),
        ("focal", {"gama": 1.0}, r"loss\.options\.gama is no option .* Did you mean 'gamma'\?"),
        ("cross_entropy", {"gamma": 1.0}, "Its options are: none"),
    ],
)
def test_a_recipe_that_names_no_loss_is_told_what_there_is(
    name: str, options: dict, message: str, small_config: ConfigDict
) -> None:
    small_config.loss.name = name
    small_config.loss.options.update(options)
    with pytest.raises(UserError, match=message):
        validate(small_config)


@pytest.mark.parametrize("options", [{"gamma": -1.0}, {"gamma": "two"}, {"gamma": None}, {"power": 1e308}])
def test_a_value_that_a_loss_cannot_have_is_told(options: dict) -> None:
    with pytest.raises(UserError, match=r"config field loss\.options\.\w+ is .*, but must be a number from 0 to 100"):
        make_loss("focal", options, (1, 1))


@pytest.mark.usefixtures("registered")
def test_a_name_is_taken_once() -> None:
    register_loss("squared_error", squared_error)
    with pytest.raises(UserError, match="there is a loss 'focal' already"):
        register_loss("focal", squared_error)


def test_an_option_without_a_default_is_refused() -> None:
    def needs(clips_of_class: Sequence[int], /, margin: float) -> Callable[..., jax.Array]:
        return lambda logits, targets: logits[:, 0] * margin

    with pytest.raises(UserError, match="the loss 'needs' cannot be registered: its option 'margin' has no default"):
        register_loss("needs", needs)


@pytest.mark.mistyped
@pytest.mark.parametrize("factory", [None, 3, "brier", lambda: 1, lambda a, b: 1, max, object()])
def test_what_is_no_factory_is_refused(factory: Any) -> None:
    with pytest.raises(UserError, match=r"the loss 'own' cannot be registered: .* Give a function of the"):
        register_loss("own", factory)


@pytest.mark.usefixtures("registered")
def test_a_factory_may_hand_on_whatever_options_it_is_given() -> None:
    def handing_on(clips_of_class: Sequence[int], **options: float) -> Callable[..., jax.Array]:
        return squared_error(clips_of_class, **options)

    register_loss("handing_on", handing_on)
    loss = jax.jit(make_loss("handing_on", {"scale": 3.0}, (1, 1)))
    assert loss(np.zeros((1, 2), np.float32), np.array([[1, 0]], np.float32)) == 1.5
    with pytest.raises(UserError, match=r"cannot be made: .*'scole'"):
        make_loss("handing_on", {"scole": 3.0}, (1, 1))


CLIPS, CLASSES = 4, 3


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda logits, targets: jnp.mean(logits - targets), r"returns float32\[\], but must return an array \[b\]"),
        (lambda logits, targets: logits - targets, rf"returns float32\[{CLIPS}, {CLASSES}\]"),
        (lambda logits, targets: jnp.mean(logits - targets, axis=0), rf"returns float32\[{CLASSES}\]"),
        (lambda logits, targets: jnp.mean(logits, axis=1, keepdims=True), rf"returns float32\[{CLIPS}, 1\]"),
        (lambda logits, targets: jnp.argmax(logits, axis=1), rf"returns int32\[{CLIPS}\]"),
        (lambda logits, targets: None, "returns NoneType"),
        (lambda logits, targets: (logits[:, 0], targets[:, 0]), "returns tuple"),
        (lambda logits: logits[:, 0], r"must be loss\(logits, targets\)"),
        (None, r"is made as None, but must be loss\(logits, targets\)"),
        (
            lambda logits, targets: logits @ targets,
            "the loss 'own' fails for logits .* TypeError: dot_general",
        ),
        (lambda logits, targets: {}["scale"], "the loss 'own' fails .* KeyError: 'scale'"),
    ],
)
def test_a_loss_that_gives_no_number_for_each_clip_is_told(loss: Any, message: str) -> None:
    register_loss("own", lambda clips_of_class: loss)
    with pytest.raises(UserError, match=message):
        make_loss("own", {}, (5,) * CLASSES)


@pytest.mark.usefixtures("registered", "light_runs")
def test_a_loss_that_changes_over_training_is_told_how_far_it_is(
    small_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    def rising(clips_of_class: Sequence[int], /) -> Callable[..., jax.Array]:
        return lambda logits, targets, *, progress: 0 * logits[:, 0] + progress

    register_loss("rising", rising)
    small_config.loss.name = "rising"
    small_config.data.validation = ""
    small_config.log.every_steps = 1
    small_config.loss.classification = 1.0
    train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=3)
    losses = [line["loss"] for line in read_json_lines(tmp_path / "metrics.jsonl")]
    assert losses == pytest.approx([0, 1 / 6, 2 / 6])  # of six steps
