"""The accuracy of exports: what is counted, and what it is compared with."""

import numpy as np
from export_accuracy import accuracies, table


def test_accuracy_and_differences_are_counted_for_each_export():
    logits = np.array([[[2, 1], [0, 3], [1, 0], [5, 0]], [[2, 1], [0, 3], [0, 1], [0, 5]]], np.float32)
    labels = np.array([0, 1, 1, 0])
    differences = np.array([[0, 0, 0], [0.1, 0.3, 0.2]], np.float32)
    model, other = accuracies(["safetensors", "tflite"], logits, labels, differences)
    assert (model.top1, model.otherwise, model.largest_difference) == (0.75, 0, 0)
    assert (other.top1, other.otherwise) == (0.75, 0.5)
    assert "| tflite | 75.00 % | 50.00 % | 2.0e-01 | 3.0e-01 |" in table([model, other], 4).splitlines()
