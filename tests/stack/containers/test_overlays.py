"""The overlays: each comes up healthy, and a cart is one on whichever container it is read.

Valkey alone is in `test_continuity.py`.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_checkout
from tests.stack.local.test_continuity import (  # noqa: F401  (collected here, with this module's stacks)
    test_concurrent_adds_are_all_kept,
)
from tests.support.http.client import ask
from tests.support.http.wire import sent
from tests.support.ports import free_port
from tests.support.stacks.containers import (
    ContainerServer,
    ContainerStack,
    StartContainers,
    docker,
    require_engine,
)
from tests.support.waiting import wait_until


@pytest.fixture(name="tls_stack", scope="module")
def _tls_stack(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """TLS in front of Valkey: both overlays at once, with the certificate that the kit makes."""
    stack = new_stack(OVERLAYS="tls,valkey", TLS_PORT=str(free_port()), WORKERS="4")
    stack.up()
    yield stack
    assert not stack.dispose()


@pytest.fixture(name="outside", scope="module")
def _outside() -> Iterator[ContainerServer]:
    """A store that no stack started, in a container of its own."""
    require_engine()
    server = ContainerServer("valkey")
    yield server
    server.stop()


def _gateway() -> str:
    """Return an address of this host that is in none of the stacks' networks."""
    form = "{{(index .IPAM.Config 0).Gateway}}"
    return docker("network", "inspect", "bridge", "--format", form)


@pytest.fixture(name="external_stack", scope="module")
def _external_stack(
    new_stack: StartContainers, outside: ContainerServer
) -> Iterator[ContainerStack]:
    """Containers with REDIS_URL, which leads by an address of this host to that store."""
    stack = new_stack(REDIS_URL=outside.url.replace("127.0.0.1", _gateway()), WORKERS="4")
    stack.up()
    yield stack
    assert not stack.dispose()


@pytest.fixture(name="eight_workers", scope="module", params=["tls_stack", "external_stack"])
def _eight_workers(request: pytest.FixtureRequest) -> ContainerStack:
    """The stack of each overlay, for what all of them have to prove."""
    stack: ContainerStack = request.getfixturevalue(request.param)
    return stack


def _negotiated(stack: ContainerStack, context: ssl.SSLContext) -> tuple[str | None, str | None]:
    raw = sent(int(stack.settings["TLS_PORT"]), b"")
    with context.wrap_socket(raw, server_hostname="localhost") as connection:
        return connection.version(), connection.selected_alpn_protocol()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(tls_stack: ContainerStack, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken, and HTTP/2 is agreed on by ALPN."""
    context = tls_stack.trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    spoken = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert _negotiated(tls_stack, context) == (spoken, "h2")


def test_old_versions_are_refused(tls_stack: ContainerStack) -> None:
    """TLS 1.1 is refused by the server, also from a client that would speak it."""
    context = tls_stack.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        _negotiated(tls_stack, context)


def test_the_cookie_is_bound_to_the_host(tls_stack: ContainerStack) -> None:
    """Under TLS the cookie is __Host-sid with Secure, when it is set and when it is deleted."""
    browser = tls_stack.browser()
    added = browser.add("tea", 2)
    assert added.status == 200
    (line,) = added.headers.get_all("Set-Cookie", [])
    assert line.startswith("__Host-sid=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
    assert "Domain" not in line
    assert int(added.headers["Strict-Transport-Security"].partition("max-age=")[2]) > 0
    cookies = dict(browser.cookies)
    ended = browser.ask("POST", "/api/logout", b"")
    assert ended.status == 204
    (deleted,) = ended.headers.get_all("Set-Cookie", [])
    assert deleted.startswith("__Host-sid=;")
    assert {"Secure", "HttpOnly", "Path=/", "Max-Age=0"} <= set(deleted.split("; "))
    browser.cookies = cookies
    assert browser.cart() == {}


def test_continuity(eight_workers: ContainerStack) -> None:
    """Twenty requests of one session meet both containers, all healthy, and find one cart."""
    browser = eight_workers.browser()
    browser.add("tea", 2)
    answers = [browser.session() for _ in range(20)]
    assert [answer["hits"] for answer in answers] == list(range(1, 21))
    served = {answer["served_by"].partition("/")[0] for answer in answers}
    assert served == set(eight_workers.replicas())
    assert browser.cart() == {"tea": 2}
    for container in (*eight_workers.inspect("app"), *eight_workers.inspect("nginx")):
        assert container["State"]["Health"]["Status"] == "healthy", container["Name"]


def test_valkey_keeps_the_sessions(tls_stack: ContainerStack) -> None:
    """The overlay's store is Valkey's program, under the name that the other one had."""
    store = tls_stack.inspect("redis")[0]["Id"]
    assert "valkey-server" in docker("top", store, "-eo", "pid,args")


def test_an_external_store_is_the_only_one(
    external_stack: ContainerStack, outside: ContainerServer
) -> None:
    """With REDIS_URL the sessions are where it leads; no store is made for it."""
    before = len(outside.keys("unsticky:*:s:*"))
    with external_stack.browser() as browser:
        browser.add("tea", 2)
    assert len(outside.keys("unsticky:*:s:*")) > before
    mine = f"label=com.docker.compose.project={external_stack.project}"
    services = docker(
        "container", "ls", "--all", "--filter", mine,
        "--format", '{{.Label "com.docker.compose.service"}}',
    )  # fmt: skip
    assert sorted(services.split()) == ["app", "app", "nginx"]
    volumes = docker("volume", "ls", "--quiet", "--filter", mine)
    kept = {name.removeprefix(f"{external_stack.project}_") for name in volumes.split()}
    assert kept == {"buffers", "data", "temporary"}


def test_isolated_replicas_reach_nothing_outside(
    new_stack: StartContainers, outside: ContainerServer
) -> None:
    """The overlay `isolated` closes the way out: a port of this host does not answer."""
    stack = new_stack(OVERLAYS="isolated", REPLICAS="1", WORKERS="1")
    stack.up()
    (replica,) = stack.replicas()
    # A store elsewhere, which the replicas of the fixture above reach.
    port = int(outside.url.rpartition(":")[2].partition("/")[0])
    code = f"import socket; print(socket.socket().connect_ex(({_gateway()!r}, {port})))"
    assert docker("exec", replica, "python", "-c", code) != "0"
    assert not stack.dispose()


def test_the_plain_port_leads_to_tls(tls_stack: ContainerStack) -> None:
    """The plain port answers a POST with a 308 to the other port, and sets no cookie."""
    named = {"Host": f"localhost:{tls_stack.port}"}
    answer = ask(tls_stack.port, "POST", "/api/cart/items?a=1", b"{}", named)
    assert answer.status == 308
    port = tls_stack.settings["TLS_PORT"]
    assert answer.headers["Location"] == f"https://localhost:{port}/api/cart/items?a=1"
    assert "Set-Cookie" not in answer.headers


def test_changed_code_is_served(new_stack: StartContainers, tmp_path: Path) -> None:
    """Each worker starts again with the changed file; image and container stay the same."""
    stack = new_stack(OVERLAYS="dev", REPLICAS="1", WORKERS="2")
    stack.checkout = tmp_path
    copy_checkout(tmp_path)
    stack.up()
    before = stack.replicas()
    changed = tmp_path / "app" / "shop" / "http" / "api.py"
    text = changed.read_text()
    assert 'status="ok"' in text
    changed.write_text(text.replace('status="ok"', 'status="changed"'))
    with stack.browser() as browser:
        wait_until(
            lambda: all(
                browser.ask("GET", "/livez").json()["status"] == "changed" for _ in range(20)
            ),
            "every worker serves the changed code",
            seconds=20,
        )
    assert stack.replicas() == before
    error = stack.dispose()
    assert not error, error
