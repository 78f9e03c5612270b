"""Names of servers, as settings and headers have them."""

import numpy as np
import pytest
from running_server import running_server
from small_trained_model import small_trained_model

from motion_vit.errors import UserError
from motion_vit.serving.protection import host_name, is_loopback


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:80", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("127.0.0.1:x", "127.0.0.1"),
        ("", ""),
        (":80", ""),
    ],
)
def test_the_name_is_told_from_the_port(header: str, name: str) -> None:
    assert host_name(header) == name


def test_addresses_of_this_machine_alone_are_known() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "example.com", "127.0.0.1.example.com", ""]))


def test_a_server_for_others_answers_to_any_name_or_to_those_that_are_allowed() -> None:
    trained = small_trained_model()
    for allowed, status in (((), 200), (("video.example",), 421)):
        with running_server(trained, host="0.0.0.0", allowed_hosts=allowed) as server:
            statuses = [
                server.ask("GET", "/healthz", headers={"Host": host}).status
                for host in ("video.example", "video.example:8000", "localhost", "other.example")
            ]
        assert statuses == [200, 200, 200, status]


def test_weights_that_are_not_numbers_are_not_served() -> None:
    trained = small_trained_model()
    bias = trained.variables["params"]["head"]["bias"]
    trained.variables["params"]["head"]["bias"] = bias * np.float32("nan")
    with pytest.raises(UserError, match="NaN or infinite"), running_server(trained):
        pass
