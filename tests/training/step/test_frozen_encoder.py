"""The training step of a frozen spatial encoder: its forward pass, and nothing that a backward pass would need."""

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit.training.ahead_of_time.compiled_program import parse_program
from motion_vit.training.ahead_of_time.program_costs import program_costs
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.program import TrainingProgram, build_program


def recipe(**options: object) -> ConfigDict:
    """A recipe of an encoder that is deep enough for its backward pass to count."""
    config = default_config()
    config.model.name = "vivit_tiny"
    config.model.options.update(
        {
            **{"width": 32, "depth": 3, "temporal_depth": 1, "heads": 2, "patch_size": 4, "tubelet_frames": 1},
            **{"attention": "factorised_encoder", "window": 3, **options},
        }
    )
    config.data.frames, config.data.size, config.batch_size = 4, 32, 8
    return config


def program_of(config: ConfigDict) -> TrainingProgram:
    mesh = meshes.data_mesh(jax.devices()[:1])
    return build_program(config, mesh, clips_of_class=[1] * 5, total_steps=6, steps_per_epoch=3)


def costs(frozen: str, remat: str, scan_blocks: bool) -> tuple[int, int]:
    """Operations of a compiled step and the bytes of its intermediate values."""
    config = recipe(frozen=frozen, adapter="attention")
    config.remat, config.scan_blocks = remat, scan_blocks
    compiled = program_of(config).lower_step().compile()
    flops = program_costs(parse_program(compiled.as_text() or ""), 1).flops
    return flops, compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("remat", "scan_blocks"),
    [("none", False), ("blocks", True)],
    ids=["plain", "scan_and_remat"],
)
def test_half_of_the_arithmetic_and_of_the_memory_is_saved(remat: str, scan_blocks: bool) -> None:
    flops, temporaries = costs("spatial", remat, scan_blocks)
    all_flops, all_temporaries = costs("none", remat, scan_blocks)
    assert flops <= 0.5 * all_flops
    assert temporaries <= 0.5 * all_temporaries


def test_the_optimizer_keeps_no_moments_of_what_is_frozen() -> None:
    program = program_of(recipe(frozen="spatial", adapter="emim"))
    params = traverse_util.flatten_dict(program.state_shapes.params, sep="/")
    trained = {
        path: leaf for path, leaf in params.items() if not path.startswith(("embedding", "places", "blocks", "norm"))
    }
    moments = [leaf for leaf in jax.tree.leaves(program.state_shapes.opt_state) if leaf.ndim]
    assert sum(leaf.size for leaf in moments) == 2 * sum(leaf.size for leaf in trained.values())
    assert np.sum([leaf.size for leaf in trained.values()]) < 0.5 * np.sum([leaf.size for leaf in params.values()])
