"""What the commands exit with."""

import signal

import pytest

from loadtest import __main__ as verbs


def test_our_own_fault_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python would exit with 1, which says that the target failed; its trace is shown."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("loadtest.__main__._VERBS", {"loadtest": lambda: int("none")})
    assert verbs.main("loadtest") == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("VERDICT error: ValueError(")
    assert "Traceback" in printed.err
