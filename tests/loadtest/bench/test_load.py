"""wrk and Locust measure the same figures of the same application."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, peers, servers
from loadtest.frameworks.client import Browser
from loadtest.frameworks.load import Generator, Target
from loadtest.frameworks.servers import Running

_SESSIONS = 20
_SECONDS = 2
_ADDED = 0.2
"""The share of a mix that adds."""


@pytest.fixture(name="generator", params=Generator)
def _generator(request: pytest.FixtureRequest) -> Generator:
    """Each generator; wrk only if it is installed."""
    generator: Generator = request.param
    if generator is Generator.WRK and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: apt-get install wrk")
    return generator


@contextmanager
def _target(generator: Generator, store: Running, folder: Path) -> Iterator[Target]:
    """Run the carts over this library behind nginx; there is no session yet."""
    (peer,) = peers.named(["unsticky"])
    with (
        peer.serve(2, store, folder) as app,
        servers.nginx({"carts": app}, folder) as (nginx, ports),
    ):
        yield Target("carts", app, nginx, store.pid, ports["carts"], folder / "cookies", generator)


def _pieces(browsers: list[Browser]) -> int:
    return sum(browser.ask("GET", contract.CART).body["count"] for browser in browsers)


def test_each_generator_makes_the_mix_without_an_error(
    generator: Generator, store: Running, folder: Path
) -> None:
    """Every figure is there, and a fifth of the requests added to the carts of the cookies."""
    with _target(generator, store, folder) as target:
        browsers = [Browser(target.app.socket) for _ in range(_SESSIONS)]
        for browser in browsers:
            browser.ask("POST", contract.ITEMS, {"sku": contract.SKUS[0]})
        headers = [browser.header() for browser in browsers]
        assert len(set(headers)) == _SESSIONS
        target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")
        before = _pieces(browsers)
        load = target.load("mix", _SECONDS, 1)
        added = _pieces(browsers) - before
    assert load.requests > 100
    assert load.per_second == pytest.approx(load.requests / _SECONDS, rel=0.5)
    assert 0 < load.p50_ms <= load.p99_ms < 10_000
    assert min(load.app_us, load.nginx_us, load.store_us) >= 0
    assert load.app_us > 0
    # What wrk has in flight at its end is done and not counted; and five standard deviations.
    chance = 5 * (_ADDED * (1 - _ADDED) / load.requests) ** 0.5
    assert added / load.requests == pytest.approx(_ADDED, abs=0.05 + chance)


def test_each_generator_counts_what_failed(
    generator: Generator, store: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusing answers end the measurement with their number: nothing would be comparable."""
    monkeypatch.setattr(contract, "CART", "/nowhere")
    with _target(generator, store, folder) as target:
        target.cookies.write_text("session=none\n", encoding="ascii")
        with pytest.raises(LoadTestError, match=r"^(\d+) of \1 requests to carts failed"):
            target.load("read", _SECONDS, 1)
