"""ViTTA against its authors' code: five online steps of a network with BatchNorm and of one with LayerNorm."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util
from goldens import load
from normed_networks import NETWORKS, channels_last, from_torch

from motion_vit.training.adaptation.adaptation_step import make_adaptation_step
from motion_vit.training.adaptation.norm_layers import LayerStatistics, apply_watching_norms, channel_statistics
from motion_vit.training.adaptation.options import AdaptationOptions

ALIGNED = {"batchnorm": ("b1", "b2"), "layernorm": ("n2", "norm")}
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def part(golden: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


@pytest.mark.fast_cases("batchnorm")
@pytest.mark.parametrize("kind", NETWORKS)
def test_statistics_of_the_source_are_means_over_clips(kind: str) -> None:
    golden, model = load(f"vitta_{kind}"), NETWORKS[kind]()
    variables = from_torch(part(golden, "init/"))

    @jax.jit
    def measure(clip: jax.Array) -> dict[str, LayerStatistics]:
        outputs = apply_watching_norms(model, variables, clip).outputs
        return {layer: channel_statistics(outputs[layer]) for layer in ALIGNED[kind]}

    measured = [measure(clip[None]) for clip in channels_last(golden["clean"])]
    for layer in ALIGNED[kind]:
        for name, of_clips in zip(("mean", "var"), zip(*(each[layer] for each in measured), strict=True), strict=True):
            np.testing.assert_allclose(np.mean(of_clips, axis=0), golden[f"source/{layer}/{name}"], **CLOSE)


@pytest.mark.fast_cases("batchnorm")
@pytest.mark.parametrize("kind", NETWORKS)
def test_five_steps_are_those_of_the_authors(kind: str) -> None:
    golden, model = load(f"vitta_{kind}"), NETWORKS[kind]()
    rate, momentum, decay, consistency, alpha = map(float, golden["settings"])
    options = AdaptationOptions(
        layers="|".join(ALIGNED[kind]),
        learning_rate=rate,
        momentum=momentum,
        weight_decay=decay,
        consistency=consistency,
        alpha=alpha,
    )
    source = {
        layer: LayerStatistics(golden[f"source/{layer}/mean"], golden[f"source/{layer}/var"]) for layer in ALIGNED[kind]
    }
    variables = from_torch(part(golden, "init/"))
    adaptation = make_adaptation_step(model, variables, options, source)
    step, state = jax.jit(adaptation.step), adaptation.start(variables)
    views, clips, key = channels_last(golden["views"]), channels_last(golden["evals"]), jax.random.key(0)
    check = functools.partial(np.testing.assert_allclose, **CLOSE)
    for number in range(5):
        state, video = step(state, views[number], clips[number], key)
        for name in ("total", "align", "consistency"):
            check(video.losses[name], golden[f"step/{name}"][number], err_msg=name)
        check(video.view_logits, golden["step/view_logits"][number])
        check(video.logits[0], golden["step/eval_logits"][number])
        for layer, (mean, variance) in state.running.items():
            check(mean, golden[f"running/{layer}/mean"][number])
            check(variance, golden[f"running/{layer}/var"][number])
    final = traverse_util.flatten_dict(from_torch(part(golden, "final/"))["params"])
    for path, value in traverse_util.flatten_dict(state.params).items():
        check(value, final[path], err_msg="/".join(path))
    # BatchNorm normalises by the statistics of the source, and never moves them.
    for new, old in zip(jax.tree.leaves(state.batch_stats), jax.tree.leaves(variables.get("batch_stats")), strict=True):
        np.testing.assert_array_equal(new, old)
