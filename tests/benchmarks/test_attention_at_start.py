"""Attention before training: uniform in a narrow network as published, and not by fan-in."""

import jax
import pytest
from attention_at_start import measure


@pytest.mark.slow
@pytest.mark.parametrize(("start", "least", "most"), [("published", 0.999, 1.001), ("fan_in", 0.5, 0.99)])
def test_the_entropy_of_attention_tells_how_kernels_start(start: str, least: float, most: float) -> None:
    clips = jax.random.normal(jax.random.key(0), (2, 4, 32, 32, 3))
    options = {"depth": 1, "patch_size": 8, "initialization": start}
    rows = measure("timesformer_tiny", options, clips)
    assert [layer for layer, _, _ in rows] == ["blocks/block0/attention", "blocks/block0/temporal_attention"]
    for _, affinities, entropy in rows:
        assert affinities == ""
        assert least <= float(entropy) <= most


@pytest.mark.slow
def test_a_cost_volume_has_affinities_and_no_entropy() -> None:
    clips = jax.random.normal(jax.random.key(0), (2, 4, 32, 32, 3))
    options = {"depth": 1, "patch_size": 8, "temporal_attention": "cost_volume", "initialization": "fan_in"}
    found = {layer: (affinities, entropy) for layer, affinities, entropy in measure("timesformer_tiny", options, clips)}
    affinities, entropy = found["blocks/block0/temporal_attention"]
    assert float(affinities) > 0.2
    assert entropy == ""
