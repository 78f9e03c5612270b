"""Maps that attribute an answer to parts of a clip are compared on rendered clips."""

import attribution
import numpy as np
import pytest
from small_trained_model import small_trained_model


@pytest.mark.slow
def test_every_map_is_measured_on_every_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = small_trained_model(
        name="uniformer_emim_tiny",
        widths=(8, 8, 8, 8),
        depths=(1, 1, 1, 1),
        head_channels=8,
        patch_sizes=(2, 2, 1, 2),
        window=5,
        depthwise_implementation="xla_conv",
    )
    trained.config.data.sampling, trained.config.data.stride = "dense", 2
    asked = []

    def maps_of(subject, recorded, motion, number):
        asked.append((subject.inputs.shape, motion.layer, len(recorded.logits), number))
        return {"first": np.ones(subject.inputs.shape[1:4], np.float32)}

    monkeypatch.setattr(attribution, "maps_of", maps_of)
    results, drops = attribution.measure(trained, seed=0, clips=2, share=0.25, size=32)
    shape = (1, trained.model.frames, trained.model.image_size, trained.model.image_size, 3)
    classes = len(trained.label_names)
    assert asked == [(shape, "stage3/block0", classes, number) for number in range(2)]
    assert list(results) == ["first", "the object itself"]
    assert len(drops) == 2
    for values in results.values():
        assert len(values) == 2
        for deletion, insertion, removal in values:
            assert 0 <= deletion <= 1
            assert 0 <= insertion <= 1
            assert -1 <= removal <= 1


def test_the_table_has_medians_quartiles_and_the_median_of_each_seed() -> None:
    by_seed = {
        0: {"CAM": [(value, 0.5, -0.5) for value in (0.0, 0.1, 0.2)]},
        1: {"CAM": [(0.3, 0.5, 0), (0.4, 0.5, 0)]},
    }
    cells = attribution.table(by_seed).splitlines()[-1].split(" | ")
    assert cells[0] == "| CAM"
    assert cells[1] == "0.200 [0.100, 0.300]<br>0.100, 0.350"
    assert cells[2] == "0.500 [0.500, 0.500]<br>0.500, 0.500"
