"""The exit codes of the commands."""

import pytest

from loadtest import __main__ as verbs


def test_a_fault_of_the_load_test_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a traceback; Python's own exit code 1 would mean that the target failed."""
    monkeypatch.setattr("loadtest.__main__._COMMANDS", {"": lambda: int("none")})
    assert verbs.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("VERDICT error: ValueError(")
    assert "Traceback" in printed.err


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the commands, and is no verdict on a target."""
    assert verbs.main(["compare", "now"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ARGS=compare now is not one of report, compare, sweep")
    assert not printed.out
