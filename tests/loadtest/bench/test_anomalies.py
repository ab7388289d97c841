"""The anomalies are found where they are, and this library has none."""

import os
from collections import Counter
from typing import Any

import pytest

from loadtest.errors import LoadTestError
from loadtest.frameworks import peers
from loadtest.frameworks.apps import cart
from loadtest.frameworks.benchmarks import anomalies, findings, site
from loadtest.frameworks.benchmarks.anomalies import Try
from loadtest.frameworks.benchmarks.findings import Line
from loadtest.frameworks.client import Answer

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
    assert answers["revived"] == [409] * site.LATE_WRITERS
    assert answers["revoked"] == [204, *answers["revived"]]
    assert answers["oauth"] == [200] * (site.LATE_WRITERS + 1)
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


def _try(peer: str, anomaly: str, *answers: int, happened: bool | None) -> dict[str, Any]:
    return {"peer": peer, "anomaly": anomaly, "happened": happened, "answers": answers}


def _texts(line: Line) -> tuple[str, ...]:
    return tuple(cell.text for cell in line.cells)


@pytest.fixture(name="raw")
def _raw() -> dict[str, Any]:
    """A run without races or tries."""
    return {
        "time": "2026-01-02T03:04:05.678Z",
        "machine": "an abacus",
        "python": "CPython 3.11.0",
        "packages": {"flask": "3.1.3"},
        "mongodb": "",
        "options": {"rounds": 1, "tries": 4},
        "skipped": {},
        "races": [],
        "tries": [],
    }


def _ran(raw: dict[str, Any], peer: str, *tries: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "races": [{"peer": peer, "lost": 0, "refused": 0}], "tries": tries}


def test_a_late_writer_that_failed_proves_nothing() -> None:
    """Only what was written, or refused because the session is another one now, forces a race."""
    for happened in (True, False):
        assert anomalies.proven([200, 400, 409], happened=happened) is happened
        assert anomalies.proven([200, 500, 200], happened=happened) is None
        assert anomalies.proven([0], happened=happened) is None


def test_a_state_is_lost_if_the_callback_says_so() -> None:
    """An error of the server or another refusal shows nothing of the state."""
    assert anomalies.is_state_lost(Answer(200, {})) is False
    assert anomalies.is_state_lost(Answer(400, cart.other_state().problem)) is True
    for status, body in ((400, None), (400, {"detail": "bad"}), (503, {}), (0, None)):
        assert anomalies.is_state_lost(Answer(status, body)) is None


def test_who_does_not_recover_is_not_logged_out() -> None:
    """Only an answer of 200 shows whether the browser is still logged in."""
    assert anomalies.is_logged_out((200, "ada"), "ada") is False
    assert anomalies.is_logged_out((200, None), "ada") is True
    assert anomalies.is_logged_out((500, None), "ada") is None


def test_tries_that_prove_nothing_do_not_count(raw: dict[str, Any]) -> None:
    """A cell says how many count; with fewer than half there is no table."""
    some = [_try("django", "revived", 200, happened=False)] * 2
    void = [_try("django", "revived", 503, happened=None)] * 2
    (line,) = findings.lines(_ran(raw, "django", *some, *void))
    assert (_texts(line)[2], line.fails) == ("0 of 2", False)
    with pytest.raises(LoadTestError, match=r"revived: only 2 of 5 tries with django .*\(503,\)"):
        findings.lines(_ran(raw, "django", *some, *void, void[0]))


def test_what_cannot_be_revoked_has_a_mark(raw: dict[str, Any]) -> None:
    """A cookie that is the session did not fail to be revoked: the table says why it cannot be."""
    data = _ran(raw, "flask-cookie", _try("flask-cookie", "revoked", 501, 200, happened=True))
    (line,) = findings.lines(data)
    assert (_texts(line)[3], line.fails) == (findings.UNFIT, False)
    assert "\n¹ It has no server-side session to revoke" in findings.markdown(data)


@pytest.mark.parametrize(
    ("server", "mark"), [("SecantusDB 0.7.0", "**1**²"), ("mongod 8.0.4", "**1**")]
)
def test_a_stand_in_for_mongodb_is_named_beside_what_it_decides(
    raw: dict[str, Any], server: str, mark: str
) -> None:
    """Expired sessions are deleted by the server: the cell says that it was another one."""
    tried = _try("flask-session-mongodb", "expired", happened=True)
    data = {**_ran(raw, "flask-session-mongodb", tried), "mongodb": server}
    text = findings.markdown(data)
    assert f"| {mark} |" in text
    assert ("\n² On SecantusDB 0.7.0, which is not" in text) == ("²" in mark)
    assert "¹" not in text


def test_the_table_counts_tries_and_explains_what_fails(raw: dict[str, Any]) -> None:
    """Losses are a range, tries a sum, what was not tried a dash; who fails nothing has no why."""
    tried = [("oauth", True), ("oauth", True), ("oauth", False), ("replayed", False)]
    data = {
        **raw,
        "options": {"rounds": 2, "tries": 3},
        "skipped": {"express": "npm is not on the PATH"},
        "races": [
            {"peer": "unsticky", "lost": 0, "refused": 0},
            {"peer": "flask-session", "lost": 192, "refused": 0},
            {"peer": "flask-session", "lost": 221, "refused": 0},
        ],
        "tries": [
            _try("unsticky", "oauth", happened=False),
            *(_try("flask-session", name, happened=so) for name, so in tried),
        ],
    }
    assert [(line.peer.name, line.fails, _texts(line)) for line in findings.lines(data)] == [
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
