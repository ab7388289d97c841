"""The smoke test of a deployment: a sound release passes, a wrong one is named."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from loadtest.harness.edge import Edge
from tests.support.checkout import ROOT
from tests.support.stacks.local import Stack


def _smoke(stack: Stack, url: str, **settings: str) -> tuple[int, str]:
    """Run the smoke test as a deployment does; return its exit code and what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", "loadtest.smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={
            **os.environ,
            "PYTHONPATH": ".:compose",
            "STATE_DIR": str(stack.state_dir),
            "SHOP_DEMO": "1",
            "SMOKE_URL": url,
            "SMOKE_SECONDS": "5",
            **settings,
        },
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


def _replica(stack: Stack) -> str:
    return f"unix:{stack.folder.sockets}/{stack.replicas()[0]}.sock"


def test_a_sound_release_passes(stack: Stack) -> None:
    """A replica on its own, also with cookies for TLS alone, and the stack; nothing is kept."""
    kept = set((stack.state_dir / "loadtest").glob("*"))
    for url in (_replica(stack), stack.folder.url or ""):
        status, printed = _smoke(stack, url)
        assert status == 0, printed
        adds = re.search(r"passed: [\d,]+ requests in \d+ s, 0 errors, ([\d,]+) adds", printed)
        assert adds, printed
        assert int(adds[1].replace(",", "")) >= 1_000
    assert set((stack.state_dir / "loadtest").glob("*")) == kept
    with stack.store() as store:
        assert not list(store.scan_iter("shop:*:failures")), "a login failed"


def test_visitors_ask_below_a_prefix(copied: Stack) -> None:
    """A replica gets paths without it, and nginx with its own, whatever the deployment wants."""
    # Without the test: another application may serve, which knows nothing of carts.
    copied.up(APP="shop:create_app()", NGINX_PREFIX="/store", SMOKE_SECONDS="0")
    source = copied.checkout / "app/shop/__init__.py"
    try:
        # nginx gets it at the end only.
        source.write_text(source.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
        printed = copied.up(NGINX_PREFIX="/other", SMOKE_SECONDS="5")
        assert len(re.findall(r"smoke test passed: .* adds", printed)) == 2, printed
        # Another application in the same folder has no cart.
        printed = copied.up(APP="notes:create_app()")
        assert len(re.findall(r"smoke test passed: .* good answers", printed)) == 2, printed
    finally:
        copied.up(NGINX_PREFIX="", SMOKE_SECONDS="0")


@pytest.mark.parametrize(
    ("build", "reason", "detail"),
    [
        ("failing", r"errors of [A-Z]+ /api/\S+ [\d.]+% \(\d+ of \d+\)", "status 500"),
        ("losing", r"lost update \d+ times \(0 allowed\)", r"lost update: \w+ is \d+ instead of"),
    ],
)
def test_a_wrong_release_is_named(copied: Stack, build: str, reason: str, detail: str) -> None:
    """One call in ten, one add in a hundred: exit 1, the reason and the ids of requests."""
    copied.up(APP=f"wrong:{build}()")
    status, printed = _smoke(copied, _replica(copied))
    assert status == 1, printed
    assert re.search(f"smoke test failed: .*{reason}", printed), printed
    found = re.search(
        rf"^  {detail}.* \[[A-Z]+ /api/\S+ (?:app-\d+/\d+ )?([0-9a-f]{{32}})\]$",
        printed,
        re.MULTILINE,
    )
    assert found, printed
    assert Path(printed.split("report: ")[1].split()[0]).is_file()
    if build == "losing":
        # The replica knows the id, as if it had come through nginx.
        assert found[1] in (copied.folder.log / f"{copied.replicas()[0]}.access.log").read_text()


def test_too_few_answers_are_no_pass(stack: Stack, tmp_path: Path) -> None:
    """A release that hardly answers is undecided, exit 3; one that never answers has failed."""
    scenario = tmp_path / "seldom.py"
    scenario.write_text(
        "import gevent\nfrom loadtest import Journey\n\n\n"
        "class Seldom(Journey):\n"
        "    def visit(self) -> None:\n"
        "        self.get('/livez')\n"
        "        gevent.sleep(2)\n"
    )
    status, printed = _smoke(stack, _replica(stack), SCENARIO=str(scenario), SMOKE_SECONDS="1")
    assert status == 3, printed
    assert re.search(r"undecided: .* \d+ good answers, fewer than 100", printed)
    status, printed = _smoke(stack, f"unix:{tmp_path}/none.sock", SMOKE_SECONDS="1")
    assert status == 1, printed
    assert re.search(r"failed: errors of \S+ \S+ 100\.00%", printed)
    status, printed = _smoke(stack, "localhost:80")
    assert status == 2, printed
    assert "localhost:80 is no address" in printed


@pytest.mark.parametrize(("path", "status"), [("/livez", 0), ("/", 0), ("/nothing", 1)])
def test_a_foreign_application_answers_its_path(stack: Stack, path: str, status: int) -> None:
    """HEALTH_PATH has to answer as it does to the health check."""
    settings = {"SMOKE_APP": "", "HEALTH_PATH": path, "SMOKE_SECONDS": "1"}
    found, printed = _smoke(stack, _replica(stack), **settings)
    assert found == status, printed
    assert status or "good answers" in printed


def test_a_replica_is_asked_as_nginx_does(tmp_path: Path) -> None:
    """It gets nginx's headers and its own path; its cookies and redirects work over plain HTTP."""

    @Request.application
    def application(request: Request) -> Response:
        names = ("Host", "X-Forwarded-Proto", "X-Request-ID", "Connection")
        seen = {"path": request.path, **{name: request.headers[name] for name in names}}
        answer = Response(json.dumps(seen), headers={"Location": "https://shop.example/shop/cart"})
        answer.set_cookie("__Host-sid", "1", secure=True, httponly=True)
        answer.set_cookie("theme", "dark", domain="shop.example", samesite="Lax")
        return answer

    server = make_server(f"unix://{tmp_path}/app.sock", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    added = {"X-Forwarded-Proto": "https"}
    try:
        with Edge(f"unix:{tmp_path}/app.sock", "shop.example", added, "/shop") as edge:
            answer = httpx.get(f"{edge.url}/shop/api", headers={"X-Forwarded-Proto": "http"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert answer.json() == {
        "path": "/api",
        "Host": "shop.example",
        "X-Forwarded-Proto": "https",
        "X-Request-ID": answer.headers["X-Request-ID"],
        "Connection": "close",
    }
    assert answer.headers["Location"] == "/shop/cart"
    assert answer.headers.get_list("Set-Cookie") == [
        "__Host-sid=1; HttpOnly; Path=/",
        "theme=dark; Path=/; SameSite=Lax",
    ]
