"""The table of a comparison says what its raw data say."""

from pathlib import Path
from typing import Any

import pytest

from loadtest.frameworks.benchmarks import document, table
from loadtest.frameworks.benchmarks.table import Row

_LOADS = ("per_second", "p50_ms", "p99_ms", "app_us", "nginx_us", "store_us")


def _sample(peer: str, number: int, *figures: float) -> dict[str, Any]:
    return {"peer": peer, "round": number, **dict(zip(_LOADS, figures, strict=True))}


def _still(trips: float, session: int | None) -> dict[str, Any]:
    traffic = {"trips": trips, "bytes": 10 * trips}
    return {"read": traffic, "add": traffic, "worker": 31_460_000, "session": session}


@pytest.fixture(name="raw")
def _raw() -> dict[str, Any]:
    """Three rounds of three peers, with figures that can be checked by heart."""
    return {
        "time": "2026-01-02T03:04:05.678Z",
        "machine": "an abacus <&>",
        "python": "CPython 3.11.0",
        "packages": {"flask": "3.1.3"},
        "options": {"rounds": 3, "seconds": 1},
        "generator": "Locust",
        "load_averages": [1.25, 0.5, 2.0],
        "skipped": {"express": "npm is not on the PATH"},
        "samples": [
            *(_sample("unsticky", n, 1000, 4, 8, 400, 50, 50) for n in (1, 2, 3)),
            *(
                _sample("flask-session", n, rate, 6, 12, app, 50, 25)
                for n, rate, app in ((1, 500, 500), (2, 700, 600), (3, 600, 900))
            ),
            *(_sample("flask-cookie", n, 1500, 2, 4, 300, 50, 0) for n in (1, 2, 3)),
        ],
        "still": {
            "unsticky": _still(1, 272),
            "flask-session": _still(2, 176),
            "flask-cookie": _still(0, None),
        },
    }


def _row(raw: dict[str, Any], label: str) -> Row:
    (found,) = (row for row in table.rows(raw, list(raw["still"])) if row.label.startswith(label))
    return found


def test_a_cell_has_the_median_the_middle_half_and_the_ratio(raw: dict[str, Any]) -> None:
    """Of 500, 600 and 900 µs against 400 it says 600, 550 to 750, × 1.5; tiers are added."""
    own, theirs, _ = _row(raw, "CPU of the application").cells
    assert (own.text, own.ratio) == ("400 (400–400)", "")
    assert (theirs.text, theirs.ratio) == ("600 (550–750)", "× 1.50 (1.25–2.25)")
    assert [cell.text for cell in _row(raw, "CPU of all three").cells] == [
        "500 (500–500)", "675 (625–825)", "350 (350–350)",
    ]  # fmt: skip


def test_a_ratio_refers_to_the_store_of_the_same_kind(raw: dict[str, Any]) -> None:
    """Flask-Session over MongoDB is compared with Unsticky over MongoDB; a dash is no ratio."""
    for name, app in (("unsticky-mongodb", 800), ("flask-session-mongodb", 1000)):
        raw["samples"] += [_sample(name, n, 500, 6, 12, app, 50, 90) for n in (1, 2, 3)]
        raw["still"][name] = {**_still(2, None), "read": {"trips": 2, "bytes": 0}}
    *_, own, theirs = _row(raw, "CPU of the application").cells
    assert own.ratio == "× 2.00 (2.00–2.00)"
    assert theirs.ratio == "× 1.25 (1.25–1.25)"
    # The server counts no bytes.
    assert _row(raw, "bytes to and from the store, reading").cells[-1].text == table.ABSENT


def test_the_page_of_stores_names_the_server(raw: dict[str, Any]) -> None:
    """It says which MongoDB server it was, and what SecantusDB's figures mean."""
    assert "other session libraries" in document.markdown(raw)
    text = document.markdown({**raw, "table": "stores", "mongodb": "SecantusDB 0.7.0"})
    assert text.startswith("# Benchmarks: the same cart over other stores\n")
    assert "The MongoDB server was SecantusDB 0.7.0. It is a Python program" in text
    text = document.markdown({**raw, "table": "stores", "mongodb": "mongod 8.0.4"})
    assert "The MongoDB server was mongod 8.0.4." in text
    assert "Python program" not in text


def test_what_does_not_spread_is_one_number(raw: dict[str, Any]) -> None:
    """The least is the best; a peer that has no such figure has a dash."""
    memory = _row(raw, "memory of the store").cells
    assert [(cell.text, cell.best) for cell in memory] == [
        ("272", False), ("176", True), ("–", False),
    ]  # fmt: skip


def test_both_documents_hold_every_cell_and_the_conditions(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """Markdown and HTML show cells, machine, versions, load generator, and who was left out."""
    markdown = document.markdown(raw)
    page = document.write_page(tmp_path / "page.html", raw).read_text()
    cells = [cell for row in table.rows(raw, list(raw["still"])) for cell in row.cells]
    conditions = ("2026-01-02", "flask 3.1.3", "npm is not on the PATH", "Locust with 16", "0.5 to")
    for text in (*conditions, *(cell.text for cell in cells), *(cell.ratio for cell in cells)):
        assert text in markdown
        assert text in page
    assert "an abacus &lt;&amp;&gt;" in page
    assert 'href="https://flask-session.readthedocs.io/en/latest/config.html"' in page
