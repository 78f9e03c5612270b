import pytest

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0, but must be a whole number from 1"),
        ({"size": -3}, "size is -3, but must be a whole number from 1"),
        ({"stride": 0}, "stride is 0, but must be"),
        ({"sampling": "sparse"}, "sampling is 'sparse', but must be one of segment, dense"),
        ({"repeats": 0}, "repeats is 0, but must be"),
        ({"extra_frames": -1}, "extra_frames is -1, but must be a whole number from 0"),
        ({"crop": "round"}, "crop is 'round', but must be one of random_resized, multi_scale"),
        ({"flip": "sometimes"}, "but must be one of off, on, label_aware"),
        ({"rand_augment_on": "video"}, "but must be one of crop, frame"),
        ({"crop_sizes": (1.0, 1.5)}, "crop_sizes is .*, each a number above 0 and at most 1"),
        ({"rand_augment": "rand-m7-q4"}, "q4"),
        ({"crop_scale": (0.5, 0.2)}, "crop_scale is .* 2 items in not falling order"),
        ({"crop_scale": (0.5, 1.2)}, "crop_scale is .* at most 1"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio is .* from 0.001 to 1000"),
    ],
)
def test_impossible_clip_options_are_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        ClipOptions(**arguments)
