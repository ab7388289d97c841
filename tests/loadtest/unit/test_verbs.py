"""The exit codes of the commands."""

import signal

import pytest

from loadtest import __main__ as verbs


def test_a_fault_of_the_load_test_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a traceback; Python's own exit code 1 would mean that the target failed."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("loadtest.__main__._VERBS", {"loadtest": lambda: int("none")})
    assert verbs.main("loadtest") == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("VERDICT error: ValueError(")
    assert "Traceback" in printed.err
