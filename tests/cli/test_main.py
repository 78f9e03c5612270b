"""`python -m motion_vit` is the command."""

import runpy
import sys

import pytest


def test_the_package_runs_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["motion_vit", "recipe", "list"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("motion_vit", run_name="__main__")
    assert stopped.value.code == 0
    assert "my_videos" in capsys.readouterr().out
