"""Exports of models that were trained with evidence: programs give the uncertainty, and files say how it is made."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import onnxruntime
import pytest
from jax import export
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.interop.exporting.export import export_model
from motion_vit.interop.exporting.interface import Interface
from motion_vit.interop.exporting.verification import verify
from motion_vit.interop.runners import example
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.preprocessing import preprocessing_of
from motion_vit.training.inference.ranking import class_probabilities
from motion_vit.training.losses.evidence import EVIDENCE_NAMES, evidence_of, uncertainty

# Coloured and unlike each other, so that their uncertainties are.
CLIPS = np.random.default_rng(1).standard_normal((3, 1, 1, 1, 3), dtype=np.float32) * np.linspace(
    0, 3, 4 * 32 * 32, dtype=np.float32
).reshape(1, 4, 32, 32, 1)


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    """Flax's own modules rely on JAX's standard promotion of dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    made = small_trained_model()
    made.config.loss.name, made.config.loss.label_smoothing = "evidential", 0.0
    made.variables["params"]["head"]["kernel"] *= 10
    return made


@pytest.fixture(scope="module")
def expected(trained: TrainedModel) -> tuple[np.ndarray, np.ndarray]:
    """The logits of the clips and their uncertainty."""

    def infer(variables: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
        logits = trained.model.apply(variables, CLIPS)
        return logits, uncertainty(evidence_of(logits, "exp"))

    with jax.numpy_dtype_promotion("standard"):
        logits, uncertain = map(np.asarray, jax.jit(infer)(trained.variables))
    assert np.abs(np.diff(uncertain)).min() > 2e-4
    return logits, uncertain


@pytest.mark.slow
def test_a_program_for_jax_gives_logits_and_uncertainty(
    trained: TrainedModel, expected: tuple[np.ndarray, np.ndarray], tmp_path: pathlib.Path
) -> None:
    entry = export_model(trained, "stablehlo", tmp_path / "export")["export"]
    assert entry["uncertainty"] == {"name": "uncertainty", "shape": (None,), "dtype": "float32"}
    assert entry["output"]["name"] == "logits"
    program = export.deserialize(bytearray((tmp_path / "export" / "model.stablehlo").read_bytes()))
    for found, one in zip(program.call(CLIPS), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-6)
    assert verify(tmp_path / "export").agrees


def test_an_onnx_graph_gives_logits_and_uncertainty_by_their_names(
    trained: TrainedModel, expected: tuple[np.ndarray, np.ndarray], tmp_path: pathlib.Path
) -> None:
    export_model(trained, "onnx", tmp_path / "export")
    session = onnxruntime.InferenceSession(tmp_path / "export" / "model.onnx", providers=["CPUExecutionProvider"])
    assert {each.name: each.shape for each in session.get_outputs()} == {
        "logits": ["batch", 10],
        "uncertainty": ["batch"],
    }
    for found, one in zip(session.run(["logits", "uncertainty"], {"clips": CLIPS}), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-6)
    check = json.loads((tmp_path / "export" / "self_check.json").read_text())
    assert len(check["uncertainty"]) == len(check["logits"])
    described = json.loads((tmp_path / "export" / "preprocessing.json").read_text())
    assert described["uncertainty_output"] == {
        "name": "uncertainty",
        "axes": "batch",
        "shape": [None],
        "dtype": "float32",
    }
    card = (tmp_path / "export" / "README.md").read_text()
    assert "`concentration = 1 + exp(clip(logits, -10, 10))`" in card


def test_probabilities_are_refused_because_views_cannot_be_averaged_by_them(
    trained: TrainedModel, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match=r"was trained with evidence, .* leave out --output"):
        export_model(trained, "onnx", tmp_path / "export", interface=Interface("float32", "probabilities"))


@pytest.mark.parametrize("evidence", EVIDENCE_NAMES)
def test_formulas_and_the_example_make_the_probabilities_and_the_uncertainty_of_the_library(evidence: str) -> None:
    made = small_trained_model()
    made.config.loss.name, made.config.loss.options.evidence = "evidential", evidence
    described = preprocessing_of(made.config, ["a", "b", "c"])
    logits = np.array([-20.0, 0.5, 12.0], np.float32)
    names: dict[str, Any] = {"logits": logits, "len": len}
    names |= {name: getattr(np, name) for name in ("exp", "log", "clip", "maximum", "sum")}
    formulas = described["probabilities"]
    names["concentration"] = eval(formulas["concentration"], {}, names)
    probabilities = class_probabilities(logits, formulas["evidence"])
    np.testing.assert_allclose(eval(formulas["formula"], {}, names), probabilities, rtol=1e-5)
    expected = float(jax.jit(lambda logits: uncertainty(evidence_of(logits, formulas["evidence"])))(logits))
    assert eval(formulas["uncertainty"], {}, names) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(example.probabilities_of(logits, described), probabilities, rtol=1e-5)
