import pathlib
from collections.abc import Iterator

import jax
import pytest

from motion_vit.cli import main

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "configs" / "demo.py"
SMALLER = """
def get_config():
    config = recipe_file.load_config({recipe!r})
    config.model.options.widths = (8, 8, 16, 16)
    config.model.options.depths = (1, 1, 1, 1)
    config.model.options.head_channels = 8
    config.model.options.depthwise_implementation = "xla_conv"
    config.data.frames = 4
    config.data.size = 32
    config.data.workers = 0
    # The usual update and loss compile in half the time.
    config.optimizer.name = "adamw"
    config.loss.correspondence.photometric = 0.0
    return config
"""


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Optax's optimizers rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.slow
def test_the_smallest_demo_ends_with_a_table_and_does_not_repeat_what_is_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    imports = "from motion_vit.training.recipe import file as recipe_file\n"
    pathlib.Path("recipe.py").write_text(imports + SMALLER.format(recipe=str(RECIPE)), encoding="utf-8")
    command = ["demo", "--small", "--workdir", "demo", "--config", "recipe.py"]
    assert main(command) == 0
    table = capsys.readouterr().out.split("\n\n")[-1]
    rows = (
        "top-1 on held-out videos",
        "frozen",
        "shuffled",
        "chance",
        "clips/s, training",
        "checkpoint",
        "curves",
        "logs",
    )
    for row in rows:
        assert row in table
    assert "demo/run/curves.png" in table
    assert str(tmp_path) not in table
    assert pathlib.Path("demo/run/curves.png").exists()
    assert "demo/visualization/index.html, demo/visualization/motion-field-stage3-block0.png" in table
    assert len(list(pathlib.Path("demo/visualization").iterdir())) == 2

    assert main(command) == 0
    again = capsys.readouterr().out
    assert "continues after step 2" in again
    assert "loss" not in again
