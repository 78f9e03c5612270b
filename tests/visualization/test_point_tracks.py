import dataclasses

import numpy as np
import pytest

import motion_vit
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.point_tracks import follow
from motion_vit.visualization.token_grid import TokenGrid, token_grid


@pytest.fixture
def grid(small_model) -> TokenGrid:
    """Five frames of 4 x 4 patches of 30 pixels in the middle of a video of 120 x 160."""
    model = small_model("uniformer", frames=5, patch_sizes=(4, 2, 2, 1)).model
    return token_grid(model, "norm_output", place_view((120, 160), tuple(range(5)), 64))


def field(flow: object, offset: int = 1) -> DisplacementField:
    """The same flow (x, y) in every patch and pair, or a field for every pair."""
    flows = np.broadcast_to(np.asarray(flow, np.float32), (5 - offset, 4, 4, 2))
    return DisplacementField(flows, np.ones(flows.shape[:-1], np.float32), offset)


def test_points_move_by_the_flow_in_pixels_until_they_leave_the_crop(grid):
    track = follow(field((1.0, -0.5)), np.array([[70.0, 30.0], [10.0, 30.0]]), grid)
    assert track.shape == (5, 2, 2)
    down, right = grid.stride
    steps = np.arange(5)[:, None]
    # Columns of the video left of 20.7 and right of 139.3 are cut off.
    expected = np.array([70.0, 30.0]) + steps * np.array([-0.5 * down, right])
    np.testing.assert_allclose(track[:4, 0], expected[:4])
    assert np.isnan(track[4, 0]).all()
    np.testing.assert_allclose(track[0, 1], [10, 30])
    assert np.isnan(track[1:, 1]).all()  # above the picture


def test_flow_between_the_centres_of_patches_is_interpolated(grid):
    flows = np.zeros((4, 4, 4, 2), np.float32)
    flows[:, :, 1, 0] = 1.0
    centre = np.array(grid.centre(2, 1))
    start = centre + np.array([0.3, 0.25]) * grid.stride
    track = follow(field(flows), start, grid)
    np.testing.assert_allclose(track[1] - track[0], [0, 0.75 * grid.stride[1]], rtol=1e-6)
    at_the_edge = follow(field(flows), np.array([1.0, grid.centre(0, 1)[1]]), grid)
    np.testing.assert_allclose(at_the_edge[1] - at_the_edge[0], [0, grid.stride[1]], rtol=1e-6)


def test_pairs_that_are_several_frames_apart_move_points_by_their_part(grid):
    track = follow(field((-0.5, 0.0), offset=2), np.array([60.0, 130.0]), grid, first_frame=1)
    assert np.isnan(track[0]).all()
    np.testing.assert_allclose(track[1:, 1], 130 - np.arange(4) * grid.stride[1] / 4)


def test_only_fields_of_one_clip_that_lead_forwards_are_followed(grid):
    flow = field((0.0, 0.0))
    backward = dataclasses.replace(flow, frame_offset=-1)
    batch = dataclasses.replace(flow, flow=flow.flow[None])
    for wrong in (backward, batch):
        with pytest.raises(motion_vit.UserError, match="of one clip that leads to later frames"):
            follow(wrong, np.array([60.0, 60.0]), grid)
    with pytest.raises(motion_vit.UserError, match="frames 0 to 4 of tokens; given 5"):
        follow(flow, np.array([60.0, 60.0]), grid, first_frame=5)
