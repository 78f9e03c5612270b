import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
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


@pytest.mark.usefixtures("registered")
def test_a_recipe_trains_with_a_loss_of_ones_own(small_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    small_config.loss.name = "squared_error"
    small_config.loss.options.scale = 0.0
    small_config.data.validation = ""
    train(small_config, tmp_path, devices=jax.devices()[:1], max_steps=2)
    assert read_json_lines(tmp_path / "metrics.jsonl")[0]["loss"] == 0
    assert "squared_error" in list_losses()


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
    with pytest.raises(ValueError, match="there is another loss called 'focal'"):
        register_loss("focal", squared_error)


def test_an_option_without_a_default_is_refused() -> None:
    def needs(clips_of_class: Sequence[int], /, margin: float) -> Callable[..., jax.Array]:
        return lambda logits, targets: logits[:, 0] * margin

    with pytest.raises(ValueError, match="the option 'margin' of the loss 'needs' has no default"):
        register_loss("needs", needs)
