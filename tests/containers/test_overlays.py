"""The overlays: each comes up healthy, and a cart is one on whichever container it is read."""

import http.client
import ssl
from collections.abc import Iterator

import pytest

from tests.containers.conftest import StartContainers
from tests.containers.stack import ContainerStack, docker
from tests.wire import Answer, ask_on, free_port


@pytest.fixture(name="tls_stack", scope="module")
def _tls_stack(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """TLS in front of Valkey: both overlays at once, with the certificate that the kit makes."""
    stack = new_stack(OVERLAYS="tls,valkey", TLS_PORT=str(free_port()), WORKERS="1")
    stack.up()
    yield stack
    assert not stack.dispose()


def _trusting(stack: ContainerStack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.folder.certificates / "fullchain.pem"))


def _ask(
    stack: ContainerStack, method: str, path: str, body: bytes | None = None, cookie: str = ""
) -> Answer:
    connection = http.client.HTTPSConnection(
        "localhost", int(stack.settings["TLS_PORT"]), timeout=20, context=_trusting(stack)
    )
    headers = {"Content-Type": "application/json"} | ({"Cookie": cookie} if cookie else {})
    try:
        return ask_on(connection, method, path, body, headers)
    finally:
        connection.close()


def _negotiated(stack: ContainerStack, context: ssl.SSLContext) -> tuple[str | None, str | None]:
    connection = http.client.HTTPSConnection(
        "localhost", int(stack.settings["TLS_PORT"]), timeout=20, context=context
    )
    connection.connect()
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        return connection.sock.version(), connection.sock.selected_alpn_protocol()
    finally:
        connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(tls_stack: ContainerStack, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken, and HTTP/2 is agreed on by ALPN."""
    context = _trusting(tls_stack)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    spoken = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert _negotiated(tls_stack, context) == (spoken, "h2")


def test_old_versions_are_refused(tls_stack: ContainerStack) -> None:
    """TLS 1.1 is refused by the server, also from a client that would speak it."""
    context = _trusting(tls_stack)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        _negotiated(tls_stack, context)


def test_the_cookie_is_bound_to_the_host(tls_stack: ContainerStack) -> None:
    """Under TLS the cookie is __Host-sid with Secure, when it is set and when it is deleted."""
    added = _ask(tls_stack, "POST", "/api/cart/items", b'{"sku":"tea","qty":2}')
    assert added.status == 200
    (line,) = added.headers.get_all("Set-Cookie", [])
    assert line.startswith("__Host-sid=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
    assert "Domain" not in line
    assert int(added.headers["Strict-Transport-Security"].partition("max-age=")[2]) > 0
    cookie = line.partition(";")[0]
    ended = _ask(tls_stack, "POST", "/api/logout", b"", cookie)
    assert ended.status == 204
    (deleted,) = ended.headers.get_all("Set-Cookie", [])
    assert deleted.startswith("__Host-sid=;")
    assert {"Secure", "HttpOnly", "Path=/", "Max-Age=0"} <= set(deleted.split("; "))
    assert _ask(tls_stack, "GET", "/api/cart", cookie=cookie).json()["count"] == 0


def test_continuity_under_tls(tls_stack: ContainerStack) -> None:
    """Twenty requests of one session meet both containers and find one cart, kept in Valkey."""
    added = _ask(tls_stack, "POST", "/api/cart/items", b'{"sku":"tea","qty":2}')
    cookie = added.headers["Set-Cookie"].partition(";")[0]
    answers = [_ask(tls_stack, "GET", "/api/session", cookie=cookie).json() for _ in range(20)]
    assert [answer["hits"] for answer in answers] == list(range(1, 21))
    served = {answer["served_by"].partition("/")[0] for answer in answers}
    assert served == set(tls_stack.replicas())
    assert _ask(tls_stack, "GET", "/api/cart", cookie=cookie).json()["count"] == 2
    store = tls_stack.inspect("redis")[0]["Id"]
    assert "valkey-server" in docker("top", store, "-eo", "pid,args")


def test_the_plain_port_leads_to_tls(tls_stack: ContainerStack) -> None:
    """The plain port answers a POST with a 308 to the other port, and sets no cookie."""
    connection = http.client.HTTPConnection("localhost", tls_stack.port, timeout=20)
    answer = ask_on(connection, "POST", "/api/cart/items?a=1", b"{}")
    connection.close()
    assert answer.status == 308
    port = tls_stack.settings["TLS_PORT"]
    assert answer.headers["Location"] == f"https://localhost:{port}/api/cart/items?a=1"
    assert "Set-Cookie" not in answer.headers
