"""Requirement 11, once more, where it hurts: behind a cache that everyone shares."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stacks.nginx import NGINX
from tests.support.waiting import wait_until

from .browser import Browser
from .conftest import Workers

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=shared:1m;
  server {{
    listen unix:{folder}/edge;
    location / {{
      proxy_pass http://unix:{backend}:;
      proxy_cache shared;
      proxy_cache_valid any 1h;  # what says nothing of caching is kept
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""


@pytest.fixture(name="edge")
def _edge(workers: Workers, tmp_path: Path) -> Iterator[Path]:
    """A careless cache in front of the workers: it keeps whatever it is not told not to keep."""
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=tmp_path, backend=workers.socket))
    nginx = subprocess.Popen([NGINX, "-p", tmp_path, "-c", configuration, "-e", tmp_path / "error"])

    def listens() -> bool:
        assert nginx.poll() is None, (tmp_path / "error").read_text()
        return (tmp_path / "edge").exists()

    wait_until(listens, "nginx")
    yield tmp_path / "edge"
    nginx.terminate()
    nginx.wait(10)


def test_11_no_user_is_shown_anothers_page(edge: Path) -> None:
    """Behind a cache that keeps everything it may, each user sees their own page, and no cookie."""
    users = {name: Browser(edge) for name in ("cached-ann", "cached-bob")}
    stranger = Browser(edge)
    for name, browser in users.items():
        assert browser.post("/login", user=name).status == 200
    for _ in range(2):
        for name, browser in users.items():
            answer = browser.get("/me")
            assert answer.json()["user"] == name
            assert answer.headers["X-Cache"] != "HIT"
        assert stranger.get("/me").json()["user"] is None
    assert len({browser.cookie for browser in users.values()}) == 2
    assert stranger.cookie is None


def test_11_a_refreshed_cookie_is_kept_by_no_cache(edge: Path) -> None:
    """A page that sends a cookie again is not kept, so that its cookie reaches nobody else."""
    owner, stranger = Browser(edge), Browser(edge)
    owner.post("/set", theme="dark", permanent=True)
    assert owner.get("/me").headers["Set-Cookie"] is not None  # its first use slides it
    answer = stranger.get("/me")
    assert answer.headers["Set-Cookie"] is None
    assert answer.json()["data"] == {}


def test_11_an_untouched_page_is_cached_for_all(edge: Path) -> None:
    """The page that looks at no session is kept, and served to everyone, cookie or not."""
    owner, stranger = Browser(edge), Browser(edge)
    owner.post("/set", theme="dark")
    assert owner.get("/untouched").headers["X-Cache"] == "MISS"
    assert stranger.get("/untouched").headers["X-Cache"] == "HIT"
    assert owner.get("/untouched").headers["X-Cache"] == "HIT"
