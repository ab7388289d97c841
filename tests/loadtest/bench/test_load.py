"""wrk and Locust answer the same figures about the same application."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bench import servers
from bench.browser import Browser
from bench.calls import BENCH
from bench.carts import application
from bench.console import BenchError
from bench.kinds import Kind
from bench.load import Generator, Target
from bench.servers import Running, Workers

_SESSIONS = 20
_SECONDS = 1
_ADDED = 0.2
"""Of the requests of a mix, as many add."""


@pytest.fixture(name="asking", params=Generator)
def _asking(request: pytest.FixtureRequest) -> Generator:
    """Each generator; wrk only where it is."""
    asking: Generator = request.param
    if asking is Generator.WRK and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: apt-get install wrk")
    return asking


@contextmanager
def _target(asking: Generator, store: Running, folder: Path) -> Iterator[Target]:
    """Return the carts over this library, behind nginx; nobody has a session yet."""
    environment = application(Kind.UNSTICKY, store.url)
    with (
        servers.gunicorn("carts", environment, Workers("sync", 2), folder) as app,
        servers.nginx({"carts": app}, folder) as (nginx, ports),
    ):
        yield Target("carts", app, nginx, store, ports["carts"], BENCH, folder / "cookies", asking)


def _pieces(browsers: list[Browser]) -> int:
    return sum(browser.ask("GET", BENCH.cart).body["count"] for browser in browsers)


def test_each_generator_makes_the_mix_without_an_error(
    asking: Generator, store: Running, folder: Path
) -> None:
    """Every figure is there, and a fifth of the requests added to the carts of the cookies."""
    with _target(asking, store, folder) as target:
        browsers = [Browser(target.app.socket) for _ in range(_SESSIONS)]
        for browser in browsers:
            browser.ask("POST", BENCH.items, {"sku": BENCH.skus[0]})
        headers = [browser.header() for browser in browsers]
        assert len(set(headers)) == _SESSIONS
        target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")
        before = _pieces(browsers)
        load = target.load("mix", _SECONDS)
        added = _pieces(browsers) - before
    assert load.requests > 100
    assert load.per_second == pytest.approx(load.requests / _SECONDS, rel=0.5)
    assert 0 < load.p50_ms <= load.p99_ms < 10_000
    assert min(load.app_us, load.nginx_us, load.store_us) >= 0
    assert load.app_us > 0
    # What wrk has in flight at its end is done and not counted.
    assert added / load.requests == pytest.approx(_ADDED, abs=0.1)


def test_each_generator_counts_what_failed(asking: Generator, store: Running, folder: Path) -> None:
    """Answers that refuse end the measurement with their number: nothing would be comparable."""
    with _target(asking, store, folder) as target:
        target.cookies.write_text("session=none\n", encoding="ascii")
        wrong = replace(target, calls=replace(BENCH, cart="/nowhere"))
        with pytest.raises(BenchError, match=r"^(\d+) of \1 requests failed with carts"):
            wrong.load("read", _SECONDS)
