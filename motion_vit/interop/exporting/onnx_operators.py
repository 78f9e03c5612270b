"""The rules that translate JAX primitives to ONNX operators.

A rule takes the builder, the equation of the jaxpr and its inputs, and returns the output. Sizes may be symbolic in one
axis of an array, the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax import export
from jax.extend import core
from onnx import helper

from motion_vit.errors import UserError
from motion_vit.interop.exporting.inference_function import BATCH_SYMBOL
from motion_vit.interop.exporting.onnx_builder import OnnxBuilder, Value

Rule = Callable[[OnnxBuilder, core.JaxprEqn, Sequence[Value]], Value]
Shape = Sequence[Any]  # of integers and symbolic sizes

_SAME_NAMED = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
_REDUCTIONS = {
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
}
_ONE = np.ones((), np.float32)
_BATCH_SIZE = "dim_as_value"
_IDENTITIES = ("copy", "copy_p", "name", "stop_gradient", "optimization_barrier")


def reshape(builder: OnnxBuilder, x: Value, shape: Shape) -> Value:
    """Reshapes an array; at most one size may be symbolic."""
    if isinstance(x, np.ndarray) and all(isinstance(size, int) for size in shape):
        return x.reshape(tuple(shape))
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if sizes.count(-1) > 1:
        raise UserError(f"an array of shape {tuple(shape)} has the batch in two axes, which ONNX cannot reshape to.")
    return builder.add("Reshape", x, builder.integers(sizes))


def _transpose(builder: OnnxBuilder, x: Value, order: Sequence[int]) -> Value:
    if tuple(order) == tuple(range(len(order))):
        return x
    return x.transpose(order) if isinstance(x, np.ndarray) else builder.add("Transpose", x, perm=list(order))


def _same_named(operator: str) -> Rule:
    return lambda builder, _, inputs: builder.add(operator, *inputs)


def _reduction(operator: str) -> Rule:
    def rule(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
        return builder.add(operator, inputs[0], builder.integers(equation.params["axes"]), keepdims=0)

    return rule


def _reshape(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    return reshape(builder, inputs[0], _shape(equation.outvars[0]))


def _broadcast(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    given, wanted = _shape(equation.invars[0]), _shape(equation.outvars[0])
    placed: list[Any] = [1] * len(wanted)
    for axis, size in zip(equation.params["broadcast_dimensions"], given, strict=True):
        placed[axis] = size
    x = reshape(builder, inputs[0], placed)
    if tuple(placed) == tuple(wanted):
        return x
    # Expand leaves an axis as it is where it is told 1.
    sizes = [1 if have == want else want for have, want in zip(placed, wanted, strict=True)]
    if all(isinstance(size, int) for size in sizes):
        return builder.add("Expand", x, builder.integers(sizes))
    parts = [builder.integers([size]) if isinstance(size, int) else _symbolic_size(builder, size) for size in sizes]
    return builder.add("Expand", x, builder.add("Concat", *parts, axis=0))


def _symbolic_size(builder: OnnxBuilder, size: Any) -> Value:
    """Returns a multiple of the batch, such as the frames of all clips, as an array of one number."""
    (batch,) = export.symbolic_shape(BATCH_SYMBOL, scope=size.scope)
    factor = size // batch
    if not isinstance(factor, int):
        raise _unsupported(f"an axis of {size} entries")
    return builder.batch_size() if factor == 1 else builder.add("Mul", builder.batch_size(), builder.integers([factor]))


def _concatenate(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    return builder.add("Concat", *inputs, axis=equation.params["dimension"])


def _slice(
    builder: OnnxBuilder, x: Value, shape: Shape, starts: Shape, limits: Shape, strides: Sequence[int] | None = None
) -> Value:
    steps = strides or [1] * len(shape)
    cut = [axis for axis in range(len(shape)) if (starts[axis], limits[axis], steps[axis]) != (0, shape[axis], 1)]
    if not cut:
        return x
    columns = ([int(values[axis]) for axis in cut] for values in (starts, limits))
    rest = (cut, [steps[axis] for axis in cut])
    return builder.add("Slice", x, *(builder.integers(values) for values in (*columns, *rest)))


def _static_slice(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    params = equation.params
    shape = _shape(equation.invars[0])
    return _slice(builder, inputs[0], shape, params["start_indices"], params["limit_indices"], params["strides"])


def _gather(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    """Translates a gather to a slice at known places, which is what indexing an array of symbolic batch becomes."""
    x, indices = inputs
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if not isinstance(indices, np.ndarray) or indices.ndim != 1 or numbers.operand_batching_dims:
        raise _unsupported("gather of places that are computed")
    shape = _shape(equation.invars[0])
    starts: list[Any] = [0] * len(shape)
    for axis, start in zip(numbers.start_index_map, indices, strict=True):
        starts[axis] = int(start)
    limits = [size if start == 0 else start + size for start, size in zip(starts, sizes, strict=True)]
    return reshape(builder, _slice(builder, x, shape, starts, limits), _shape(equation.outvars[0]))


def _pad(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    edges = equation.params["padding_config"]
    if any(between for _, _, between in edges):
        raise _unsupported("pad between elements")
    x, shape = inputs[0], _shape(equation.invars[0])
    starts = [max(-low, 0) for low, _, _ in edges]
    limits = [size if high >= 0 else size + high for size, (_, high, _) in zip(shape, edges, strict=True)]
    x = _slice(builder, x, shape, starts, limits)
    added = [max(int(low), 0) for low, _, _ in edges] + [max(int(high), 0) for _, high, _ in edges]
    return builder.add("Pad", x, builder.integers(added), inputs[1]) if any(added) else x


def _reverse(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    axes = list(equation.params["dimensions"])
    # From the last entry down to the first: an end before all of them.
    columns = ([-1] * len(axes), [np.iinfo(np.int64).min] * len(axes), axes, [-1] * len(axes))
    return builder.add("Slice", inputs[0], *map(builder.integers, columns))


def _select(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    which, *cases = inputs
    if len(cases) != 2 or _dtype(equation.invars[0]) != np.bool_:
        raise _unsupported("select_n among more than two")
    return builder.add("Where", which, cases[1], cases[0])


def _convert(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    dtype = _dtype(equation.outvars[0])
    if _dtype(equation.invars[0]) == dtype:
        return inputs[0]
    return builder.add("Cast", inputs[0], to=helper.np_dtype_to_tensor_dtype(dtype))


def _product(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    """Brings both sides to `[batch..., rows, inner]` and `[batch..., inner, columns]`, which MatMul takes."""
    (left_inner, right_inner), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left_shape, right_shape = map(_shape, equation.invars)
    left_free, right_free = _others(left_shape, left_inner, left_batch), _others(right_shape, right_inner, right_batch)
    left = _transpose(builder, inputs[0], (*left_batch, *left_free, *left_inner))
    right = _transpose(builder, inputs[1], (*right_batch, *right_inner, *right_free))
    batch = [left_shape[axis] for axis in left_batch]
    inner = _count(left_shape, left_inner)
    # MatMul itself takes any number of axes before the last, where the right side has but two.
    joined = bool(batch) and len(left_free) != 1
    if joined or len(left_inner) != 1:
        rows = [_count(left_shape, left_free)] if joined else [left_shape[axis] for axis in left_free]
        left = reshape(builder, left, [*batch, *rows, inner])
    if len(right_inner) != 1 or len(right_free) != 1:
        right = reshape(builder, right, [*batch, inner, _count(right_shape, right_free)])
    product = builder.add("MatMul", left, right)
    if joined or len(right_free) != 1:
        return reshape(builder, product, _shape(equation.outvars[0]))
    return product


def _others(shape: Shape, *taken: Sequence[int]) -> list[int]:
    return [axis for axis in range(len(shape)) if not any(axis in axes for axes in taken)]


def _count(shape: Shape, axes: Sequence[int]) -> Any:
    count: Any = 1
    for axis in axes:
        count = shape[axis] * count
    return count


def _convolution(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    params = equation.params
    if params["batch_group_count"] != 1 or any(step != 1 for step in params["lhs_dilation"]):
        raise _unsupported("transposed convolution")
    x_axes, kernel_axes, output_axes = params["dimension_numbers"]
    lows, highs = zip(*params["padding"], strict=True)
    output = builder.add(
        "Conv",
        _transpose(builder, inputs[0], x_axes),
        _transpose(builder, inputs[1], kernel_axes),
        group=params["feature_group_count"],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        pads=[*lows, *highs],
    )
    return _transpose(builder, output, np.argsort(output_axes).tolist())


def _max_pool(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    """Translates a window maximum; MaxPool pads with minus infinity."""
    return _pool(builder, "MaxPool", equation, inputs[0], dilations=equation.params["window_dilation"])


def _sum_pool(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    """Translates a window sum: averages over whole windows, whose padding is 0, times the size of the window."""
    params = equation.params
    if any(step != 1 for step in params["window_dilation"]):
        raise _unsupported("reduce_window_sum with dilation")
    mean = _pool(builder, "AveragePool", equation, inputs[0], count_include_pad=1)
    size = np.asarray(np.prod(params["window_dimensions"]), _dtype(equation.invars[0]))
    return builder.add("Mul", mean, size)


def _pool(builder: OnnxBuilder, operator: str, equation: core.JaxprEqn, x: Value, **attributes: Any) -> Value:
    """Adds a pooling operator, which takes the first two axes whole."""
    params = equation.params
    window, strides, padding = params["window_dimensions"], params["window_strides"], params["padding"]
    whole = [axis for axis, parts in enumerate(zip(window, strides, padding, strict=True)) if parts == (1, 1, (0, 0))]
    if len(whole) < 2 or any(step != 1 for step in params["base_dilation"]):
        raise _unsupported(f"{equation.primitive.name} over nearly all axes, or between elements")
    order = [whole[0], whole[-1]]
    order += _others(window, order)
    pooled = order[2:]
    output = builder.add(
        operator,
        _transpose(builder, x, order),
        kernel_shape=[window[axis] for axis in pooled],
        strides=[strides[axis] for axis in pooled],
        pads=[padding[axis][side] for side in (0, 1) for axis in pooled],
        **{
            name: [value[axis] for axis in pooled] if name == "dilations" else value
            for name, value in attributes.items()
        },
    )
    return _transpose(builder, output, np.argsort(order).tolist())


def _shape(atom: core.Var | core.Literal) -> tuple[Any, ...]:
    array: Any = atom.aval
    return tuple(array.shape)


def _dtype(atom: core.Var | core.Literal) -> np.dtype:
    array: Any = atom.aval
    return np.dtype(array.dtype)


def _integer_power(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    exponent = equation.params["y"]
    if exponent == 0:
        return builder.add("Add", builder.add("Mul", inputs[0], _number(equation, 0)), _number(equation, 1))
    power = inputs[0]
    for _ in range(abs(exponent) - 1):
        power = builder.add("Mul", power, inputs[0])
    return power if exponent > 0 else builder.add("Reciprocal", power)


def _clamp(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    low, x, high = inputs
    return builder.add("Min", builder.add("Max", x, low), high)


def _cumulative_sum(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value]) -> Value:
    axis = np.asarray(equation.params["axis"], np.int64)
    return builder.add("CumSum", inputs[0], axis, reverse=int(equation.params["reverse"]))


def _number(equation: core.JaxprEqn, number: float) -> np.ndarray:
    """Returns a number in the dtype of an equation's first input."""
    return np.asarray(number, _dtype(equation.invars[0]))


def _unsupported(what: str) -> UserError:
    return UserError(
        f"the model holds an operation that cannot be exported to ONNX: {what}. The formats stablehlo and savedmodel "
        "take every operation; or compute the same from others."
    )


RULES: Mapping[str, Rule] = {
    **{primitive: _same_named(operator) for primitive, operator in _SAME_NAMED.items()},
    **{primitive: _reduction(operator) for primitive, operator in _REDUCTIONS.items()},
    **dict.fromkeys(_IDENTITIES, lambda builder, equation, inputs: inputs[0]),
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "rev": _reverse,
    "cumsum": _cumulative_sum,
    "dot_general": _product,
    "erfc": lambda builder, equation, inputs: builder.add("Sub", _ONE, builder.add("Erf", inputs[0])),
    "exp2": lambda builder, equation, inputs: builder.add("Pow", _number(equation, 2), inputs[0]),
    "expm1": lambda builder, equation, inputs: builder.add("Sub", builder.add("Exp", inputs[0]), _number(equation, 1)),
    "gather": _gather,
    "integer_pow": _integer_power,
    "log1p": lambda builder, equation, inputs: builder.add("Log", builder.add("Add", inputs[0], _number(equation, 1))),
    "ne": lambda builder, _, inputs: builder.add("Not", builder.add("Equal", *inputs)),
    "pad": _pad,
    "reduce_window_max": _max_pool,
    "reduce_window_sum": _sum_pool,
    "reshape": _reshape,
    "rsqrt": lambda builder, equation, inputs: builder.add("Reciprocal", builder.add("Sqrt", inputs[0])),
    "select_n": _select,
    "slice": _static_slice,
    "square": lambda builder, equation, inputs: builder.add("Mul", inputs[0], inputs[0]),
    "squeeze": _reshape,
    "transpose": lambda builder, equation, inputs: _transpose(builder, inputs[0], equation.params["permutation"]),
}


def apply_rules(
    builder: OnnxBuilder, jaxpr: core.Jaxpr, constants: Sequence[Value], inputs: Sequence[Value], *, place: str = ""
) -> list[Value]:
    """Adds the nodes of a jaxpr to a graph.

    Args:
      builder: collects the nodes.
      jaxpr: the program.
      constants: values for the jaxpr's constvars.
      inputs: names or values for its invars.
      place: what a message calls the layer that the program is part of.

    Returns:
      Names or values of its outputs.

    Raises:
      UserError: there is no rule for a primitive.
    """
    known: dict[core.Var, Value] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *inputs), strict=True))

    def value(atom: Any) -> Value:
        return np.asarray(atom.val) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        arguments = [value(atom) for atom in equation.invars]
        known.update(zip(equation.outvars, _apply(builder, equation, arguments, place), strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _apply(builder: OnnxBuilder, equation: core.JaxprEqn, inputs: Sequence[Value], place: str) -> Sequence[Value]:
    place = "/".join(filter(None, (place, str(equation.source_info.name_stack))))
    inner = next((equation.params[name] for name in ("jaxpr", "call_jaxpr") if name in equation.params), None)
    if inner is not None and equation.primitive.name not in ("scan", "while", "cond"):
        closed = inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())
        return apply_rules(builder, closed.jaxpr, [np.asarray(array) for array in closed.consts], inputs, place=place)
    sizes = [size for output in equation.outvars for size in _shape(output)]
    constant = all(isinstance(given, np.ndarray) for given in inputs) and equation.primitive.name != _BATCH_SIZE
    if constant and all(isinstance(size, int) for size in sizes):
        outputs = equation.primitive.bind(*inputs, **equation.params)
        return [np.asarray(output) for output in (outputs if equation.primitive.multiple_results else [outputs])]
    if equation.primitive.name not in RULES:
        raise _unsupported(f"{equation.primitive.name}{f' in {place}' if place else ''}")
    return [RULES[equation.primitive.name](builder, equation, inputs)]
