"""The anomalies are found where they are, and this library has none."""

import os
from collections import Counter
from typing import Any

import pytest

from loadtest.frameworks import peers
from loadtest.frameworks.benchmarks import anomalies, findings
from loadtest.frameworks.benchmarks.anomalies import Try

_TRIES = 2


def _found(name: str) -> tuple[dict[str, Any], Counter[str], list[Try]]:
    """Return a peer's race, how often each anomaly happened, and the tries."""
    (peer,) = peers.named([name])
    lacking = peer.lacks()
    if lacking and os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(f"{lacking}, and REQUIRE_SERVERS=1")
    if lacking:
        pytest.skip(lacking)
    (race,), tries = anomalies.tries_of(peer, 1, _TRIES)
    # Every anomaly was tried; what did not happen is not in the counter.
    assert Counter(each.anomaly for each in tries) == dict.fromkeys(findings.HEADINGS, _TRIES)
    return race, Counter(each.anomaly for each in tries if each.happened), tries


def test_the_library_has_none_of_them() -> None:
    """Late writers are refused, a store that is down is an error, and nobody is logged out."""
    race, happened, tries = _found("unsticky")
    assert (race["acknowledged"], race["lost"]) == (401, 0)
    assert not happened
    answers = {each.anomaly: each.answers for each in tries}
    assert answers["revived"] == [409] * anomalies.LATE_WRITERS
    assert answers["revoked"] == [204, *answers["revived"]]
    assert answers["oauth"] == [200] * (anomalies.LATE_WRITERS + 1)
    assert answers["anonymous"] == (503, None)


def test_a_cookie_that_is_the_session_cannot_be_ended() -> None:
    """The last answer wins, and a copy logs in after the logout; no store can be down."""
    race, happened, _ = _found("flask-cookie")
    assert (race["acknowledged"], race["refused"]) == (401, 0)
    assert race["lost"] >= 150
    # A session has to be read before it expires: a slow machine may come too late once.
    assert happened.pop("outlived") >= 1
    assert happened == dict.fromkeys(["revived", "revoked", "oauth", "replayed"], _TRIES)


def test_a_session_that_is_written_back_whole_loses_the_state_of_a_login() -> None:
    """Flask-Session loses what another request stored, and makes an ended session again."""
    race, happened, tries = _found("flask-session")
    assert race["lost"] > 0
    assert happened.pop("outlived") >= 1
    assert happened == dict.fromkeys(["revived", "revoked", "oauth"], _TRIES)
    assert {each.answers for each in tries if each.anomaly == "anonymous"} == {(500, None)}


def test_a_store_that_is_down_is_taken_for_a_visitor_without_a_session() -> None:
    """Django's cached sessions show a logged-in user as nobody, and delete the cookie."""
    _, happened, _ = _found("django")
    assert happened["anonymous"] == happened["logged out"] == happened["oauth"] == _TRIES
    assert happened["revived"] == happened["revoked"] == 0


def test_the_table_counts_tries_and_explains_what_fails() -> None:
    """Losses are a range, tries a sum, what was not tried a dash; who fails nothing has no why."""
    tried = [("oauth", True), ("oauth", True), ("oauth", False), ("replayed", False)]
    data = {
        "time": "2026-01-02T03:04:05.678Z",
        "machine": "an abacus",
        "python": "CPython 3.11.0",
        "packages": {"flask": "3.1.3"},
        "mongodb": "",
        "options": {"rounds": 2, "tries": 3},
        "skipped": {"express": "npm is not on the PATH"},
        "races": [
            {"peer": "unsticky", "lost": 0, "refused": 0},
            {"peer": "flask-session", "lost": 192, "refused": 0},
            {"peer": "flask-session", "lost": 221, "refused": 0},
        ],
        "tries": [
            {"peer": "unsticky", "anomaly": "oauth", "happened": False},
            *({"peer": "flask-session", "anomaly": name, "happened": so} for name, so in tried),
        ],
    }
    assert [(line.peer.name, line.fails, line.cells) for line in findings.lines(data)] == [
        ("unsticky", False, ("0", "0", "–", "–", "0", "–", "–", "–", "–", "–")),
        ("flask-session", True, ("192–221", "0", "–", "–", "2", "0", "–", "–", "–", "–")),
    ]
    text = findings.markdown(data)
    assert "| Flask-Session | **192–221** | 0 | – | – | **2** | 0 |" in text
    _, _, why = text.partition("## Why")
    assert [line[:20] for line in why.partition("## How")[0].split("\n") if line] == [
        "- **Flask-Session**:"
    ]
    for condition in ("in how many of 3 tries", "an abacus", "npm is not on the PATH"):
        assert condition in text
