"""What the environment may say, and what happens when it says something else."""

import subprocess
import sys

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import CONFIGURATION
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "two"),
        ("WORKERS", "-1"),
        ("WORKERS", "2.0"),
        ("WORKERS", "٢"),
        ("WORKERS", "257"),
        ("WORKER_CLASS", "uvicorn"),
        ("THREADS", "x"),
        ("THREADS", "4"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("PROXY_HOPS", "9"),
        ("LOG_LEVEL", "loud"),
        ("METRICS", "9200"),
        ("METRICS", ":9200"),
        ("METRICS", "127.0.0.1:65536"),
        ("METRICS", "127.0.0.1:²"),
        ("METRICS", "unix:metrics.sock"),
    ],
)
def test_values_that_cannot_be_used(new_server: NewServer, name: str, value: str) -> None:
    """A wrong value ends the start with code 1, an error that names it, and a hint."""
    server = new_server(**{name: value}).run()
    assert server.wait() == 1
    error, hint = [line["text"] for line in server.errors()]
    assert error == f"error: gunicorn.conf.py cannot use {name}={value!r}"
    assert hint.startswith("  hint: ")


def test_an_old_gunicorn() -> None:
    """A Gunicorn that is too old for the file ends the start with a sentence that says so."""
    old = (
        "import gunicorn, runpy; gunicorn.version_info = 25, 1, 0; gunicorn.__version__ = '25.1.0'"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{old}; runpy.run_path({str(CONFIGURATION)!r})"],
        check=False,
        capture_output=True,
        text=True,
    )
    message = (
        "error: Gunicorn 25.1.0 is too old for gunicorn.conf.py\n  hint: install 25.2 or newer\n"
    )
    assert (done.returncode, done.stderr) == (1, message)


def test_an_empty_variable_counts_as_unset(new_server: NewServer) -> None:
    """An empty variable, as Compose makes them, means the default."""
    server = new_server(WORKERS="", WORKER_CLASS="", THREADS="", LOG_LEVEL="").run()
    wait_until(lambda: len(server.booted()) == 2, "the two workers of the default")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"WORKER_CLASS": "sync"}, "FairSyncWorker"),
        ({"WORKER_CLASS": "gthread", "THREADS": "2"}, "gthread"),
        ({"WORKER_CLASS": "gevent"}, "gevent"),
    ],
)
def test_worker_classes(new_server: NewServer, settings: dict[str, str], named: str) -> None:
    """Each worker class that may be chosen serves, and the log names it."""
    server = new_server(**settings).start()
    assert server.get().status == 200
    assert f"Using worker: {named}" in [line["message"] for line in server.errors()]


def test_the_socket_is_not_for_everyone(new_server: NewServer) -> None:
    """The socket file lets its owner and group connect, and nobody else."""
    server = new_server().start()
    assert server.socket.stat().st_mode & 0o777 == 0o770


def test_no_control_socket(new_server: NewServer) -> None:
    """A master leaves nothing in the user's folders that another would take from it."""
    server = new_server()
    home = server.folder / "home"
    home.mkdir()
    server = new_server(HOME=str(home), XDG_RUNTIME_DIR=str(home)).start()
    assert server.get().status == 200
    assert list(home.iterdir()) == []


_FORWARDED = (
    "X-Forwarded-For: 198.51.100.1, 203.0.113.9",
    "X-Forwarded-Prefix: /shop",
    "X-Forwarded-Proto: https",
)
_NAMES = ("REMOTE_ADDR", "SCRIPT_NAME", "wsgi.url_scheme")


@pytest.mark.parametrize(
    ("trusted", "hops", "seen"),
    [
        ("127.0.0.0/8", "1", [b"203.0.113.9", b"/shop", b"https"]),
        # Only the first has passed two proxies.
        ("127.0.0.0/8", "2", [b"198.51.100.1", b"", b"https"]),
        ("127.0.0.0/8", "0", [b"127.0.0.1", b"", b"https"]),
        ("10.1.2.3", "1", [b"127.0.0.1", b"", b"http"]),
    ],
)
def test_tcp_believes_trusted_proxies_only(
    new_server: NewServer, trusted: str, hops: str, seen: list[bytes]
) -> None:
    """Client, prefix and scheme come from the proxies named; the headers stay as they came."""
    server = new_server(
        BIND=f"127.0.0.1:{free_port()}", FORWARDED_ALLOW_IPS=trusted, PROXY_HOPS=hops
    ).start()
    assert [server.get(f"/environ/{name}", *_FORWARDED).body for name in _NAMES] == seen
    kept = server.get("/environ/HTTP_X_FORWARDED_FOR", *_FORWARDED).body
    assert kept == b"198.51.100.1, 203.0.113.9"


def test_socket_believes_all_proxies(new_server: NewServer) -> None:
    """Over a unix socket the headers count: only the proxy can open the file."""
    server = new_server(FORWARDED_ALLOW_IPS="10.1.2.3").start()
    forwarded = [server.get(f"/environ/{name}", *_FORWARDED).body for name in _NAMES]
    assert forwarded == [b"203.0.113.9", b"/shop", b"https"]
    assert [server.get(f"/environ/{name}").body for name in _NAMES] == [b"", b"", b"http"]


def test_long_lines_that_nginx_lets_through(new_server: NewServer) -> None:
    """A request line of 8,190 bytes and a header of 8 KiB are served."""
    server = new_server().start()
    path = "/".ljust(8190 - len("GET  HTTP/1.1"), "x")
    assert server.get(path, "Cookie: " + "c" * 8192).status == 200
