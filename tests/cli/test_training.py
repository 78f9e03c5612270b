"""What `motion-vit train` asks of the training loop."""

import pathlib

import pytest

from motion_vit import cli
from motion_vit.training.loop import loop
from motion_vit.training.loop.loop import TrainingResult
from motion_vit.training.loop.step_cache import StepCache

RECIPE = pathlib.Path(__file__).resolve().parents[2] / "configs" / "my_videos.py"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[StepCache | None]:
    """The caches of steps that runs were to use; none of them trains."""
    found: list[StepCache | None] = []

    def train(*arguments: object, steps: StepCache | None, **options: object) -> TrainingResult:
        found.append(steps)
        return TrainingResult(1, True, {}, None, ())

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.enable_compilation_cache", lambda: None)
    return found


def test_steps_are_kept_with_the_recipe_as_a_source(
    asked: list[StepCache | None], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "steps"
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.kept_steps_folder", lambda: folder)
    for recipe in (str(RECIPE), "my_videos"):
        assert cli.main(["train", "--config", recipe, "--workdir", str(tmp_path / "run")]) == 0
    for steps in asked:
        assert steps is not None
        assert steps.folder == folder
        assert [source.read_bytes() for source in steps.sources] == [RECIPE.read_bytes()]
    assert [steps.arguments for steps in asked if steps is not None] == [(str(RECIPE),), ("my_videos",)]


def test_steps_are_not_kept_where_there_is_no_folder(
    asked: list[StepCache | None], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motion_vit.training.parallel.compilation_cache.kept_steps_folder", lambda: None)
    assert cli.main(["train", "--config", str(RECIPE), "--workdir", str(tmp_path / "run")]) == 0
    assert asked == [None]
