import pytest

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames must be at least 1; given 0"),
        ({"size": -3}, "size must be at least 1"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"sampling": "sparse"}, "segment or dense; given 'sparse'"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"extra_frames": -1}, "extra_frames must be at least 0"),
        ({"crop": "round"}, "crop must be random_resized or multi_scale"),
        ({"flip": "sometimes"}, "flip must be off or on or label_aware"),
        ({"rand_augment_on": "video"}, "rand_augment_on must be crop or frame"),
        ({"crop_sizes": (1.0, 1.5)}, "crop_sizes must be one or more shares"),
        ({"rand_augment": "rand-m7-q4"}, "q4"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale must be two numbers"),
        ({"crop_scale": (0.5, 1.2)}, "crop_scale is a share"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio must be two numbers"),
    ],
)
def test_impossible_clip_options_are_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        ClipOptions(**arguments)
