"""Where programs and traced steps are kept."""

import pathlib
from collections.abc import Iterator

import jax
import pytest

from motion_vit.training.parallel.compilation_cache import KEEP_STEPS_VARIABLE, kept_steps_folder


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Restores JAX's settings of its cache."""
    before = {name: jax.config.values[name] for name in ("jax_compilation_cache_dir", "jax_enable_compilation_cache")}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEEP_STEPS_VARIABLE)


@pytest.mark.usefixtures("keeping")
def test_steps_are_kept_beside_the_programs_compiled_from_them(
    tmp_path: pathlib.Path,
) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert kept_steps_folder() == tmp_path / "steps"


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jax_compilation_cache_dir", "gs://bucket/programs"),
        ("jax_compilation_cache_dir", None),
        ("jax_enable_compilation_cache", False),
    ],
)
def test_no_steps_are_kept_where_programs_are_not_or_far_away(setting: str, value: object) -> None:
    jax.config.update(setting, value)
    assert kept_steps_folder() is None


def test_no_steps_are_kept_where_a_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP_STEPS_VARIABLE, "0")
    assert kept_steps_folder() is None
