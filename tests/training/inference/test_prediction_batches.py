"""Videos are classified several at once: in order, whatever is broken among them, and with few compiled shapes."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.sources.named_videos import NamedVideo, find_videos
from motion_vit.data.video.encoding import write_video
from motion_vit.training.inference.prediction import Prediction, predict_videos
from motion_vit.training.inference.view_batches import items_at_once
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.recipe.config import default_config

LEVELS = (10, 60, 110, 160, 210)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Videos of one grey each, whose names say it; in the second half of `change.mp4` it is another."""
    made = tmp_path_factory.mktemp("greys")
    for level in LEVELS:
        write_video(made / f"{level}.mp4", np.full((6, 16, 24, 3), level, np.uint8))
    greys = np.repeat(np.array([50, 200], np.uint8), 12)
    write_video(made / "change.mp4", np.broadcast_to(greys[:, None, None, None], (24, 16, 16, 3)))
    (made / "broken.mp4").write_bytes(b"nothing")
    return made


def classify(videos: list[NamedVideo], shapes: set[tuple[int, ...]] | None = None, **options: int) -> list[Prediction]:
    """Classifies with a model whose most probable class is the grey, in steps of ten."""
    config = default_config()
    config.data.frames, config.data.size = 2, 16
    config.evaluation.batch_size = 4

    def logits_of(variables: object, clips: jnp.ndarray) -> jnp.ndarray:
        if shapes is not None:
            shapes.add(clips.shape)
        grey = jnp.asarray(clips, jnp.float32).mean(axis=(1, 2, 3, 4))
        return -jnp.abs(grey[:, None] - 10.0 * jnp.arange(26, dtype=jnp.float32)[None])

    names = [str(10 * number) for number in range(26)]
    mesh = data_mesh()
    return list(predict_videos(logits_of, {}, config, names, videos, top=1, mesh=mesh, **options))


@pytest.mark.fast_cases("*-0")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 64}, {"clips": 3, "crops": 3}])
def test_every_video_gets_its_own_prediction_in_order(folder: pathlib.Path, seed: int, options: dict[str, int]) -> None:
    rng = np.random.default_rng(seed)
    names = rng.choice([*map(str, LEVELS), "broken", "absent"], 13).tolist()
    found = classify(find_videos(str(folder / f"{name}.mp4") for name in names), **options)
    assert [pathlib.Path(one.path).stem for one in found] == names
    for name, one in zip(names, found, strict=True):
        assert [label for label, _ in one.classes] == ([name] if name.isdigit() else [])
        assert bool(one.error) == (not name.isdigit())


def test_only_broken_videos_need_no_model(folder: pathlib.Path) -> None:
    shapes: set[tuple[int, ...]] = set()
    names = [str(folder / "broken.mp4"), str(folder / "none*.mp4")]
    assert [bool(one.error) for one in classify(find_videos(names), shapes)] == [True, True]
    assert not shapes
    assert classify([]) == []


def test_lists_of_all_lengths_compile_few_shapes_and_waste_little(folder: pathlib.Path) -> None:
    chosen = {items_at_once(videos, 32) for videos in range(1, 300)}
    assert chosen <= {1, 2, 4, 8, 16, 32}
    for videos in range(1, 300):
        at_once = items_at_once(videos, 32)
        assert -videos % at_once <= videos / 4
    assert (items_at_once(1000, 32), items_at_once(1000, 1), items_at_once(64, 9)) == (32, 1, 8)
    shapes: set[tuple[int, ...]] = set()
    classify(find_videos(str(folder / f"{level}.mp4") for level in LEVELS), shapes)
    assert len(shapes) == 1


def test_a_part_of_a_video_is_classified_and_told(folder: pathlib.Path) -> None:
    change = str(folder / "change.mp4")
    (whole,) = classify(find_videos([change]))
    (first,) = classify(find_videos([change], end=0.4))
    (second,) = classify(find_videos([change], start=0.6, end=0.9))
    assert [one.classes[0][0] for one in (first, second)] == ["50", "200"]
    assert [one.part for one in (whole, first, second)] == ["", "to 0.4 s", "from 0.6 s to 0.9 s"]
    assert second.to_dict().items() >= {"video": change, "start": 0.6, "end": 0.9}.items()
    assert "start" not in whole.to_dict()
    assert str(second).startswith(f"{change} from 0.6 s to 0.9 s\n")
    (beyond,) = classify(find_videos([change], start=50))
    assert "it has no frame from 50 s" in beyond.error


@pytest.mark.parametrize(
    "options",
    [{"clips": -1}, {"crops": 2}, {"clips": 10_000}, {"batch_size": -3}, {"clips": 0}, {"crops": 0}, {"batch_size": 0}],
)
def test_numbers_of_views_out_of_range_are_refused(folder: pathlib.Path, options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must be"):
        classify(find_videos([str(folder / "10.mp4")]), **options)
