"""Compares operators and a training step on the device at hand with the same in higher precision on its processor.

Operators, outputs and gradients, are compared with their readable form in float64. A training step is compared with one
in float32, the highest precision that models compute in. Each runs in three ways: in float32 with exact products, in
float32 with the products that the platform takes by default (TensorFloat-32 on NVIDIA's GPUs), and in bfloat16. Inputs
are rounded to the dtype before both are computed.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax_runner import initial_state, make_train_step
from model import ADAMW
from operator_cases import OperatorCase, cost_volume_case, depthwise_case, global_attention_case, random_inputs
from step_process import Items, message

import motion_vit
from motion_vit.ops import frame_convolution, frame_difference, gelu, linear, max_pool, self_attention, temporal_shift
from motion_vit.ops.platform import target_platform


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to compute.

    Attributes:
      name: for the report.
      dtype: of inputs, or that a model computes in.
      precision: of products, None for the platform's own choice.
      limit: largest error allowed, relative to the largest number of an array.
    """

    name: str
    dtype: str
    precision: str | None
    limit: float


WAYS = (
    Way("float32, exact products", "float32", "highest", 1e-4),
    Way("float32, default products", "float32", None, 2e-2),
    # Eight bits of mantissa, rounded at inputs, weights and intermediate results.
    Way("bfloat16", "bfloat16", None, 0.06),
)
STEPS = 3
"""Steps of the training whose losses are compared."""
STEP_LIMITS = {"float32, exact products": 2e-3, "float32, default products": 0.1, "bfloat16": 0.3}
"""Largest error of all gradients together, by their lengths: the layers of a network add up what each rounds."""


@dataclasses.dataclass(frozen=True)
class AgreementCase:
    """An operator at one shape.

    Attributes:
      name: of the operator and its shape.
      arrays: inputs in float32, all of which have gradients.
      forms: functions of the inputs by name.
      reference: the one to compute in float64.
    """

    name: str
    arrays: Sequence[np.ndarray]
    forms: Mapping[str, Callable[..., jax.Array]]
    reference: Callable[..., jax.Array]


def operator_agreement(rehearsal: bool) -> Items:
    """Yields a comparison for each operator."""
    for case in _cases(rehearsal):
        yield case.name, functools.partial(compare_forms, case, _ways(rehearsal))


def training_agreement(rehearsal: bool) -> Items:
    """Yields a comparison of training for each kind of network."""
    name, options = "timesformer_tiny", {"temporal_attention": "cost_volume"}
    if rehearsal:
        options |= {"frames": 2, "image_size": 16, "patch_size": 8, "width": 24, "depth": 1, "window": 3}
    else:
        yield (
            "training step of uniformer_emim_tiny",
            functools.partial(compare_training, "uniformer_emim_tiny", {}, WAYS),
        )
    yield f"training step of {name}", functools.partial(compare_training, name, options, _ways(rehearsal))


def _ways(rehearsal: bool) -> Sequence[Way]:
    # On a processor, all products in float32 are exact.
    return [way for way in WAYS if way.precision or way.dtype != "float32"] if rehearsal else WAYS


def agreement(rehearsal: bool) -> Items:
    """Yields all comparisons."""
    yield from operator_agreement(rehearsal)
    yield from training_agreement(rehearsal)


def _cases(rehearsal: bool) -> Iterator[AgreementCase]:
    batch, side, channels = (1, 4, 8) if rehearsal else (2, 14, 64)
    video = (batch, 4, side, side, channels)
    yield _of_operator(cost_volume_case(batch, 2, side, 2, channels), rehearsal)
    yield _of_function("GELU", gelu.gelu, video)
    if rehearsal:
        return
    yield _of_operator(depthwise_case(batch, 4, side, channels, 5), rehearsal)
    yield _of_operator(depthwise_case(batch, 4, side, channels, 3), rehearsal)
    yield _of_operator(global_attention_case(batch, 4 * side**2, 2, channels), rehearsal)
    yield _of_function("linear layer", linear.linear, video, (channels, channels), (channels,))
    yield _of_function("convolution of frames", frame_convolution.frame_convolution, video, (3, 3, channels, channels))
    yield _of_function("pooling of frames", max_pool.max_pool_frames, video)
    yield _of_function("halving of frames", frame_convolution.halve_frames, video)
    yield _of_function("difference of frames", frame_difference.frame_difference, video)
    yield _of_function("temporal shift", temporal_shift.temporal_shift, video)
    yield _of_function("self-attention of vectors", self_attention.self_attention, (batch, 4 * side, channels))


def _of_operator(case: OperatorCase, rehearsal: bool) -> AgreementCase:
    # What the library chooses and the reference are enough for a rehearsal.
    forms = {name: case.forms[name] for name in (["default"] if rehearsal else case.forms)}
    return AgreementCase(f"{case.name}, {case.shape}", random_inputs(case), forms, case.forms[case.reference])


def _of_function(name: str, function: Callable[..., jax.Array], *shapes: tuple[int, ...]) -> AgreementCase:
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape, dtype=np.float32) for shape in shapes]
    return AgreementCase(name, arrays, {"default": function}, function)


def compare_forms(case: AgreementCase, ways: Sequence[Way]) -> dict[str, Any]:
    """Compares the forms of an operator with the reference.

    Args:
      case: the operator.
      ways: those to compute it in.

    Returns:
      Way -> form -> `error`, the largest over output and gradients, relative to the largest number of each, `limit` and
      `agrees`; or `refused`, the reason why the form does not run here.
    """
    shape = jax.eval_shape(case.reference, *case.arrays).shape
    cotangent = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    jobs = [(way, form) for way in ways for form in case.forms]
    # Compiling takes most of the time, and one program at a time most of the processor's cores wait.
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        outputs = list(pool.map(lambda job: _run_form(case, cotangent, *job), jobs))
    expected = {dtype: _reference(case, cotangent, dtype) for dtype in {way.dtype for way in ways}}
    found: dict[str, Any] = {way.name: {} for way in ways}
    for (way, form), output in zip(jobs, outputs, strict=True):
        if isinstance(output, str):
            found[way.name][form] = {"refused": output}
            continue
        error = max(_relative_error(*pair) for pair in zip(output, expected[way.dtype], strict=True))
        found[way.name][form] = _verdict(error, way.limit)
    return found


def _run_form(case: AgreementCase, cotangent: np.ndarray, way: Way, form: str) -> list[np.ndarray] | str:
    """Runs a form and its gradients on the device; returns the arrays, or why it does not run here."""
    try:
        with _precision(way.precision):
            arrays = [jnp.asarray(array, way.dtype) for array in (*case.arrays, cotangent)]
            return [np.asarray(array, np.float64) for array in jax.jit(_both(case.forms[form]))(*arrays)]
    except (RuntimeError, ValueError, NotImplementedError) as error:  # such as a kernel for another platform
        return message(error)


def _reference(case: AgreementCase, cotangent: np.ndarray, dtype: str) -> list[np.ndarray]:
    """Computes the reference on the processor in float64, of inputs that are rounded to a dtype."""
    with on_processor(), jax.enable_x64(True):
        arrays = [np.asarray(np.asarray(array, jnp.dtype(dtype)), np.float64) for array in (*case.arrays, cotangent)]
        return [np.asarray(array) for array in jax.jit(_both(case.reference))(*arrays)]


def _both(function: Callable[..., jax.Array]) -> Callable[..., list[jax.Array]]:
    """Makes a function of the inputs and an output's gradient that returns the output and the inputs' gradients."""

    def both(*arrays: jax.Array) -> list[jax.Array]:
        output, pullback = jax.vjp(function, *arrays[:-1])
        return [output, *pullback(arrays[-1].astype(output.dtype))]

    return both


@contextlib.contextmanager
def on_processor() -> Iterator[None]:
    """Makes programs run on the processor, with the operators that are best there."""
    with jax.default_device(jax.devices("cpu")[0]), target_platform("cpu"):
        yield


def compare_training(name: str, options: Mapping[str, Any], ways: Sequence[Way]) -> dict[str, Any]:
    """Compares a training step, and the losses of a few, with the same on the processor.

    Args:
      name: of a model.
      options: of the model.
      ways: those to compute it in.

    Returns:
      Way -> "default" -> `error` of all gradients of the first step, by their lengths, `limit`, `agrees`, and `losses`
      beside `expected_losses`.
    """
    with on_processor():
        model = motion_vit.create_model(name, **options)
        generator = np.random.default_rng(0)
        clips = generator.standard_normal((2, *model.clip_shape), dtype=np.float32)
        labels = np.arange(2, dtype=np.int32)
        variables = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0), clips))

    def on_the_device(way: Way) -> tuple[np.ndarray, list[float]]:
        with _precision(way.precision):
            return _train(motion_vit.create_model(name, **options, dtype=way.dtype), variables, clips, labels)

    def on_the_processor() -> tuple[np.ndarray, list[float]]:
        with on_processor(), _precision("highest"):
            return _train(model, variables, clips, labels)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        reference, jobs = pool.submit(on_the_processor), [pool.submit(on_the_device, way) for way in ways]
        expected, expected_losses = reference.result()
        trained = [job.result() for job in jobs]
    found: dict[str, Any] = {}
    for way, (gradients, losses) in zip(ways, trained, strict=True):
        error = float(np.linalg.norm(gradients - expected) / np.linalg.norm(expected))
        difference = max(abs(ours - theirs) for ours, theirs in zip(losses, expected_losses, strict=True))
        verdict = _verdict(max(error, difference), STEP_LIMITS[way.name])
        found[way.name] = {"default": verdict | {"losses": losses, "expected_losses": expected_losses}}
    return found


def _precision(products: str | None) -> contextlib.AbstractContextManager[Any]:
    return jax.default_matmul_precision(products) if products else contextlib.nullcontext()


def _train(model: Any, variables: Any, clips: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Returns all gradients of the first step on one line, and the losses of the first steps."""
    optimizer = optax.adamw(**ADAMW)
    step = jax.jit(make_train_step(model, optimizer))
    state = initial_state(variables, optimizer)
    losses, gradients = [], np.zeros(0)
    for index in range(STEPS):
        with jax.numpy_dtype_promotion("standard"):  # which Optax relies on, and a program may have switched off
            state, loss = step(state, clips, labels)
        losses.append(float(loss))
        if index == 0:
            # After its first step, Adam's mean of gradients is that of the step times 1 - b1.
            means = optax.tree.get(state["optimizer"], "mu")
            leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(means)]
            gradients = np.concatenate(leaves) / (1 - ADAMW["b1"])
    return gradients, losses


def _relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    largest = float(np.abs(expected).max())
    return float(np.abs(found - expected).max()) / (largest or 1.0)


def _verdict(error: float, limit: float) -> dict[str, Any]:
    return {"error": error, "limit": limit, "agrees": math.isfinite(error) and error <= limit}
