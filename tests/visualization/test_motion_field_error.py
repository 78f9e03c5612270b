import numpy as np
import pytest

from motion_vit.visualization.motion_field_error import angular_error, direction_error, endpoint_error

FLOW = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
TRUTH = np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0], [2.0, 0.0]])


def test_errors_of_known_displacements():
    np.testing.assert_allclose(endpoint_error(FLOW, TRUTH), [0, np.sqrt(2), 1, 4])
    np.testing.assert_allclose(direction_error(FLOW, TRUTH), [0, 90, np.nan, 180], atol=1e-6)
    # (1, 0, 1) and (0, 1, 1) make 60 degrees; (0, 0, 1) and (1, 0, 1) 45; (-2, 0, 1) and (2, 0, 1) twice atan(2).
    expected = [0, 60, 45, 2 * np.degrees(np.arctan(2))]
    np.testing.assert_allclose(angular_error(FLOW, TRUTH), expected, atol=1e-5)


def test_time_tempers_the_angle_of_small_displacements():
    small = angular_error(0.01 * FLOW[1:2], 0.01 * TRUTH[1:2])
    assert small[0] == pytest.approx(0.81, abs=0.01)
    assert direction_error(0.01 * FLOW[1:2], 0.01 * TRUTH[1:2])[0] == pytest.approx(90)
