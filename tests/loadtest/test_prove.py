"""`make prove`: its visitors count what is lost, and each row says what it was."""

import html
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request, session
from werkzeug.serving import make_server

from loadtest.prove import page, rows, soak, visitors
from loadtest.prove.row import Measured, Options, Skipped, made, measured
from loadtest.prove.visitors import Tally
from tests.support.checkout import ROOT


@contextmanager
def _carts(fault: str = "") -> Iterator[int]:
    """Serve carts in the cookie; every tenth add is lost, doubled or refused."""
    app = Flask("carts")
    app.secret_key = "not-secret"
    app.config["adds"] = 0

    @app.get("/api/cart")
    def show() -> dict[str, Any]:
        return {"count": session.get("count", 0)}

    @app.post("/api/cart/items")
    def add() -> Any:
        app.config["adds"] += 1
        is_tenth = app.config["adds"] % 10 == 0
        if is_tenth and fault == "refused":
            return {}, 503
        more = {"lost": 0, "doubled": 2}.get(fault, 1) if is_tenth else 1
        session["count"] = session.get("count", 0) + more * request.get_json().get("qty", 1)
        return show()

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _visits(fault: str) -> Tally:
    with _carts(fault) as port, visitors.visitors(port, visitors.cart, 2) as tally:
        while tally.acknowledged < 60:
            threading.Event().wait(0.02)
    return tally


def test_visitors_of_a_sound_cart_lose_nothing() -> None:
    """Every request counts, and no change is missing."""
    tally = _visits("")
    assert (tally.failed, tally.lost, tally.doubled, tally.details) == (0, 0, 0, [])
    assert tally.requests == 2 * tally.acknowledged


@pytest.mark.parametrize("fault", ["lost", "doubled", "refused"])
def test_visitors_count_each_fault_once(fault: str) -> None:
    """A tenth of the adds: as many as were made wrong, not one for each answer that shows it."""
    tally = _visits(fault)
    counts = {"lost": tally.lost, "doubled": tally.doubled, "refused": tally.failed}
    adds = tally.acknowledged + tally.failed
    assert counts.pop(fault) == adds // 10
    assert set(counts.values()) == {0}
    assert tally.details
    row = measured("visits", tally)
    assert not row.is_kept
    assert row.problems == tally.details


def test_a_row_that_cannot_be_made_is_not_passed() -> None:
    """It says `not run` and why; one without a request is not passed, either."""

    def needs_more(*_: object) -> tuple[Measured, None]:
        """Row."""
        raise Skipped("there is no engine")

    def asks_nothing(*_: object) -> tuple[Measured, None]:
        """Row."""
        return measured("nothing", Tally()), None

    nobody: Any = None
    row = made("needs", needs_more, nobody, nobody, Options())
    assert (row.verdict, row.why) == ("not run", "there is no engine")
    assert made("asks", asks_nothing, nobody, nobody, Options()).verdict == "not run"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((1, "error: smoke test failed: lost update: a cart of 3 instead of 4"), ""),
        ((0, "ready after 40 s"), "not undone"),
        ((1, "error: smoke test undecided: 900 adds, fewer than 1,000"), "not named"),
    ],
)
def test_a_wrong_release_is_undone_and_named(answer: tuple[int, str], problem: str) -> None:
    """A deployment that is undone for another reason has not found the fault."""

    class Kit:
        """A stack whose deployment ends like that."""

        def masters(self) -> set[int]:
            return {1, 2}

        def broken(self, _build: str) -> nullcontext[None]:
            return nullcontext()

        def verb(self, _verb: str, **_settings: str) -> tuple[int, str]:
            return answer

    missed: list[str] = []
    kit: Any = Kit()
    assert rows.is_undone(kit, rows.FAULTS[3], missed) == (not problem)
    assert bool(missed) == bool(problem)
    assert problem in "".join(missed)


def test_a_zero_has_its_bound() -> None:
    """About three in so many, with 95 % confidence; another count stands for itself."""
    tally = Tally(requests=30_000, acknowledged=3_000)
    assert page.at_most(measured("visits", tally)) == "failed 1 in 10,014, lost 1 in 1,001"
    tally.failed = 2
    assert page.at_most(measured("visits", tally)) == "lost 1 in 1,001"
    assert page.at_most(measured("nothing", Tally())) == ""


def test_a_soak_names_what_grows() -> None:
    """A level that stays is no growth; one that leaves its room is named."""
    flat = [soak.Reading(100, 50, 30, 1)] * 20
    leaking = [soak.Reading(100, 50 + number * 10, 30, 1) for number in range(20)]
    assert not soak.growth(flat)
    assert soak.growth(leaking) == "descriptors has grown from 120 to 220"
    assert "too few" in soak.growth(flat[:3])


def test_the_page_has_both_columns(tmp_path: Path) -> None:
    """The command passes with the kit and shows what stock sessions lose in the same races."""
    ran = subprocess.run(
        f"{sys.executable} -m loadtest prove --only continuity races --seconds 3".split(),
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": ".:app:compose",
            "STATE_DIR": str(tmp_path),
            "VENV_DIR": os.environ.get("VENV_DIR", str(Path(sys.prefix).parent)),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 of 2 passed" in ran.stdout
    (data,) = (tmp_path / "prove").glob("*.json")
    kit, stock = (json.loads(data.read_text())["rows"][1][name] for name in ("kit", "stock"))
    assert (kit["failed"], kit["lost"], kit["doubled"]) == (0, 0, 0)
    assert kit["acknowledged"] > 100
    assert stock["acknowledged"] > stock["lost"] > 0
    for suffix in (".md", ".html"):
        text = html.unescape(data.with_suffix(suffix).read_text())
        assert "make prove RUNTIME=local ARGS='--only ROW --seconds 3'" in text
        assert "failed 1 in" in text
