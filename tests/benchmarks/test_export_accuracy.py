"""The accuracy of exports: what is counted, and what it is compared with."""

import sys
from types import SimpleNamespace

import export_accuracy
import numpy as np
from export_accuracy import accuracies, table
from small_trained_model import small_trained_model


def test_accuracy_and_differences_are_counted_for_each_export():
    logits = np.array([[[2, 1], [0, 3], [1, 0], [5, 0]], [[2, 1], [0, 3], [0, 1], [0, 5]]], np.float32)
    labels = np.array([0, 1, 1, 0])
    differences = np.array([[0, 0, 0], [0.1, 0.3, 0.2]], np.float32)
    model, other = accuracies(["safetensors", "tflite"], logits, labels, differences)
    assert (model.top1, model.otherwise, model.largest_difference) == (0.75, 0, 0)
    assert (other.top1, other.otherwise) == (0.75, 0.5)
    assert "| tflite | 75.00 % | 50.00 % | 2.0e-01 | 3.0e-01 |" in table([model, other], 4).splitlines()


def test_logits_that_are_not_finite_are_right_on_no_video():
    logits = np.array([[[2, 1], [0, 3]], [[np.nan, np.nan], [0, np.inf]]], np.float32)
    model, other = accuracies(["safetensors", "onnx"], logits, np.array([0, 1]), np.zeros((2, 1), np.float32))
    assert (model.top1, other.top1, other.otherwise) == (1, 0, 1)


def test_exports_of_a_prompted_model_are_called_with_its_extra_frame(monkeypatch):
    first_clips = []

    def runtime(name, folder, clips):
        first_clips.append(clips.shape)
        return SimpleNamespace(close=lambda: None)

    stand_ins = {
        "load_trained": lambda folder: small_trained_model(input_adapter="motion_prompt"),
        "open_source": lambda *arguments, **options: [],
        "make_export": lambda *arguments: None,
        "Runtime": runtime,
        "classify": lambda runtimes, *arguments: (np.zeros((2, 1, 10)), np.zeros(1), np.zeros((2, 1))),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(export_accuracy, name, stand_in)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(sys, "argv", ["export_accuracy", "run", "--data=videos", "--formats=onnx", "--batch=2"])
    export_accuracy.main()
    assert first_clips == [(2, 5, 32, 32, 3)] * 2
