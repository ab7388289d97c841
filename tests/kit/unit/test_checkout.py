"""The programs that check the checkout: the caller's own settings of them do not count."""

from pathlib import Path

import pytest
from kit.checkout.pins import pin
from kit.checkout.programs import Programs
from kit.settings import load
from kit.setup.environment import Environment


@pytest.fixture(name="programs")
def _programs(tmp_path: Path) -> Programs:
    """An environment whose Python and uv only record how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "uv"):
        program = folder / name
        program.write_text(f'#!/bin/sh\n(echo "$*"; env) >>{tmp_path}/{name}.called\n')
        program.chmod(0o755)
    return Programs(Environment(tmp_path, ()), load({}, tmp_path))


def test_callers_pytest_options_do_not_count(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTEST_ADDOPTS and PYTEST_PLUGINS of the caller change no test run."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("PYTEST_PLUGINS", "nothing")
    programs.module("pytest", "-x")
    called = (tmp_path / "python.called").read_text()
    assert called.startswith("-m pytest -x\n")
    assert "PYTEST_" not in called


def test_callers_settings_of_uv_do_not_count(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an index of the environment nor the caller's uv.toml changes the pins."""
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CONSTRAINT", "/nowhere")
    pin(programs)
    called = (tmp_path / "uv.called").read_text()
    runs = [line for line in called.splitlines() if line.startswith("pip compile ")]
    assert len(runs) >= 10
    assert all("--no-config" in run for run in runs)
    assert "UV_" not in called
