"""Verification runs an export in a process of its own and tells agreement from difference."""

import functools
import json

import jax
import pytest
from small_trained_model import small_trained_model

from motion_vit.errors import UserError
from motion_vit.interop.exporting import verification as verifying
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.verification import verify

RUN = verifying._run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("verified") / "export"
    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        export_model(small_trained_model(), "stablehlo", path, batch=2)
    return path


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Runs each export once: what it computes does not depend on the results that a self-check holds."""
    monkeypatch.setattr(verifying, "_run", _run_once)


@functools.cache
def _run_once(*arguments):
    return RUN(*arguments)


@pytest.fixture
def changed(folder, monkeypatch):
    """Changes fields of the self-check for a test."""
    path = folder / "self_check.json"
    before = path.read_text()

    def change(**fields):
        path.write_text(json.dumps(json.loads(before) | fields))

    yield change
    path.write_text(before)


def test_the_same_logits_agree(folder):
    verification = verify(folder)
    assert verification.agrees
    assert verification.max_difference <= verification.tolerance
    assert "agree with JAX's: largest difference" in str(verification)


def test_other_logits_differ_and_both_numbers_are_said(folder, changed):
    logits = json.loads((folder / "self_check.json").read_text())["logits"]
    logits[1][3] += 0.5
    changed(logits=logits)
    verification = verify(folder)
    assert not verification.agrees
    assert 0.49 < verification.max_difference < 0.51
    assert f"largest difference {verification.max_difference:.2g}, tolerance {verification.tolerance:.2g}" in str(
        verification
    )


def test_logits_that_are_not_numbers_do_not_agree(folder, changed):
    changed(logits=[[float("nan")] * 10] * 2)
    assert not verify(folder).agrees


def test_a_tolerance_of_infinite_logits_is_none(folder, changed):
    logits = json.loads((folder / "self_check.json").read_text())["logits"]
    logits[0][0] = float("inf")
    changed(logits=logits, tolerance={"rtol": 0.0, "atol": float("inf")})
    assert not verify(folder).agrees


def test_what_the_runtime_said_is_passed_on(folder, tmp_path):
    for name in ("config.json", "self_check.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "model.stablehlo").write_bytes(b"not a program")
    with pytest.raises(UserError, match=r"cannot be run \(exit status 1\):\n"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "does not describe an export"),
        ('{"format": "motion_vit"}', "does not describe an export"),
        ('{"export": {"format": "coreml"}}', "of the unknown format 'coreml'"),
        ('{"export": {"format": "stablehlo"}}', r"self_check.json cannot be read"),
    ],
)
def test_a_folder_that_is_no_export_is_said_to_be_none(config, message, tmp_path):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=message):
        verify(tmp_path)


def test_a_damaged_self_check_is_named(folder, changed):
    changed(tolerance=None)
    with pytest.raises(UserError, match=r"self_check\.json is damaged"):
        verify(folder)


@pytest.mark.slow
def test_weights_are_read_back_by_a_fresh_process(tmp_path):
    export_model(
        small_trained_model(name="uniformer_tiny", depths=(1, 1, 1, 1)),
        "safetensors",
        tmp_path / "export",
        dtype="int8-weights",
    )
    verification = verify(tmp_path / "export")
    assert verification.agrees
    assert verification.runtime.startswith("motion_vit ")
