"""Builds an ONNX graph: nodes, names, and constants, each of which is stored once."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

Value: TypeAlias = str | np.ndarray
"""What is known of an array: the name it has in the graph, or its value."""

OPSET = 18
"""The version of ONNX's operators: the first that has reductions with axes as an input. onnxruntime 1.14 runs it."""

_IR_VERSION = 8


class OnnxBuilder:
    """Collects the nodes of a graph.

    Args:
      batch_of: name of the input whose first axis is the batch.
    """

    def __init__(self, batch_of: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._batch_of = batch_of
        self._batch: str | None = None
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Adds a node with one output.

        Args:
          operator: name of the ONNX operator.
          *inputs: names of arrays, or values, which become constants.
          **attributes: of the ONNX operator.

        Returns:
          The name of the output.
        """
        self._counts[operator] += 1
        name = f"{operator}_{self._counts[operator]}"
        names = [self.name_of(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return name

    def name_of(self, value: Value) -> str:
        """Returns the name of an array in the graph; stores a value first."""
        if isinstance(value, str):
            return value
        key = (value.dtype.name, value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = self.store(f"constant_{len(self._constants) + 1}", value)
        return self._constants[key]

    def store(self, name: str, array: np.ndarray) -> str:
        """Stores an array, such as a weight, under a given name."""
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def integers(self, values: Sequence[int]) -> np.ndarray:
        """Converts sizes or axes to ONNX's integers."""
        return np.asarray(values, np.int64)

    def batch_size(self) -> str:
        """Returns the number of clips per call, as an array of one number."""
        if self._batch is None:
            self._batch = self.add("Shape", self._batch_of, start=0, end=1)
        return self._batch

    def output(self, value: Value, name: str) -> None:
        """Makes an array an output of the graph."""
        self.nodes.append(helper.make_node("Identity", [self.name_of(value)], [name], name=name))

    def model(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        metadata: Mapping[str, str],
        *,
        input_dtype: str = "float32",
    ) -> onnx.ModelProto:
        """Finishes the model, all of whose outputs are float32.

        Args:
          inputs: name -> shape; a text is the name of a symbolic size.
          outputs: name -> shape.
          metadata: texts to store with the model.
          input_dtype: dtype of all inputs.

        Returns:
          The model.
        """

        def described(arrays: Mapping[str, Sequence[int | str]], dtype: str) -> list[onnx.ValueInfoProto]:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            return [helper.make_tensor_value_info(name, kind, shape) for name, shape in arrays.items()]

        graph = helper.make_graph(
            self.nodes,
            "motion_vit",
            described(inputs, input_dtype),
            described(outputs, "float32"),
            list(self.initializers.values()),
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="motion_vit"
        )
        helper.set_model_props(model, dict(metadata))
        return model
