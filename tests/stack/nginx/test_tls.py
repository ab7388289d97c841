"""The listener for TLS, as real clients see it."""

import ssl
import warnings
from pathlib import Path

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.http.client import Client, ask
from tests.support.http.wire import Answer, exchange, expect_problem, sent
from tests.support.stacks.nginx import Nginx, check, defaults, make_certificate, render, with_tls
from tests.support.waiting import wait_until

_NAMES = ("localhost", "127.0.0.1", "shop.test")


class TlsEdge:
    """An nginx with a listener for TLS.

    Attributes:
        plain: its listener without.
        port: of the one with TLS.
        certificates: the folder of its certificate and key.
    """

    def __init__(
        self, start_edge: StartEdge, folder: Path, edits: dict[str, str] | None = None
    ) -> None:
        self.certificates = make_certificate(folder, *_NAMES)
        variables = with_tls(self.certificates)
        self.port = int(variables["NGINX_TLS_PORT"])
        self.plain: Nginx = start_edge(edits, **variables)

    def context(self) -> ssl.SSLContext:
        """Return what trusts its certificate and nothing else."""
        return ssl.create_default_context(cafile=str(self.certificates / "fullchain.pem"))

    def ask(self, path: str, host: str = "localhost") -> Answer:
        """Send a GET request to one of the certificate's names."""
        with Client(self.port, tls=self.context()) as client:
            return client.get(path, Host=host)

    def shake_hands(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Open a connection and agree on how to speak."""
        return context.wrap_socket(sent(self.port, b""), server_hostname="localhost")


@pytest.fixture(name="edge", scope="module")
def _edge(start_edge: StartEdge, tmp_path_factory: pytest.TempPathFactory) -> TlsEdge:
    return TlsEdge(start_edge, tmp_path_factory.mktemp("certificates") / "tls")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_are_spoken(edge: TlsEdge, version: ssl.TLSVersion) -> None:
    """A client of TLS 1.2 or 1.3 verifies the certificate and gets forward secrecy."""
    context = edge.context()
    context.minimum_version = context.maximum_version = version
    with edge.shake_hands(context) as connection:
        cipher = connection.cipher()
    assert cipher is not None
    assert cipher[0].startswith(("TLS_", "ECDHE-"))


def test_former_versions_are_refused(edge: TlsEdge) -> None:
    """A client that speaks TLS 1.1 at most is refused."""
    context = edge.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    # OpenSSL itself would not offer it otherwise.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        edge.shake_hands(context)


@pytest.mark.parametrize("weak", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA"])
def test_weak_ciphers_are_refused(edge: TlsEdge, weak: str) -> None:
    """Without forward secrecy, or without authenticated encryption, TLS 1.2 is refused, too."""
    context = edge.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{weak}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        edge.shake_hands(context)


def test_http_2_is_offered(edge: TlsEdge) -> None:
    """A client that knows HTTP/2 gets it; one that does not gets HTTP/1.1."""
    context = edge.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with edge.shake_hands(context) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    context.set_alpn_protocols(["http/1.1"])
    with edge.shake_hands(context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_application_gets_scheme_host_and_port(edge: TlsEdge, script: Script) -> None:
    """The replica is told the scheme, and the host with the port that the client used."""
    assert edge.ask("/x", f"localhost:{edge.port}").status == 200
    (request,) = script.requests("/x")
    assert request.headers["x-forwarded-proto"] == "https"
    assert request.headers["host"] == f"localhost:{edge.port}"


@pytest.mark.parametrize(
    ("host", "seconds"), [("shop.test", 31_536_000), ("localhost", 300), ("LOCALHOST:1", 300)]
)
@pytest.mark.parametrize("path", ["/x", "/.problem"])
def test_every_tls_answer_has_hsts(edge: TlsEdge, path: str, host: str, seconds: int) -> None:
    """Every answer over TLS says so, errors included; for long only where nothing else lives."""
    answer = edge.ask(path, host)
    assert answer.headers.get_all("Strict-Transport-Security") == [f"max-age={seconds}"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_port_redirects_to_tls(edge: TlsEdge, script: Script, method: str) -> None:
    """A request without TLS is sent to the other port as it is, and reaches no replica."""
    answer = ask(edge.plain.port, method, "/x?y=%20z", headers={"Host": "shop.test:8080"})
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://shop.test:{edge.port}/x?y=%20z"
    assert "Strict-Transport-Security" not in answer.headers
    assert script.requests("/x?y=%20z") == []


def test_plain_http_on_the_tls_port_is_redirected(edge: TlsEdge) -> None:
    """Who forgets the s in https is led to the right scheme."""
    answer = exchange(edge.port, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://localhost:{edge.port}/x"


def test_nginx_errors_over_tls_are_problem_documents(edge: TlsEdge) -> None:
    """Errors that nginx itself makes are problem documents over TLS, too."""
    expect_problem(edge.ask("/.problem"), 404)


def test_acme_challenge_is_answered_without_tls(edge: TlsEdge) -> None:
    """A certificate's issuer finds the file that an ACME client wrote, and no other file."""
    token = edge.certificates / "acme" / ".well-known" / "acme-challenge" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("key authorization")
    answer = ask(edge.plain.port, "GET", "/.well-known/acme-challenge/token")
    assert (answer.status, answer.text) == (200, "key authorization")
    for path in ("/.well-known/acme-challenge/other", "/.well-known/acme-challenge/../privkey.pem"):
        assert ask(edge.plain.port, "GET", path).status in {308, 404}


def test_renewed_certificate_is_used_without_a_reload(
    start_edge: StartEdge, tmp_path: Path
) -> None:
    """New handshakes use the files that an ACME client has replaced, after a short time."""
    edge = TlsEdge(start_edge, tmp_path / "tls", {"valid=1m": "valid=1s"})

    def serial() -> str:
        with edge.shake_hands(edge.context()) as connection:
            certificate = connection.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])

    first = serial()
    renewed = make_certificate(tmp_path / "renewed", "localhost")
    for name in ("privkey.pem", "fullchain.pem"):
        (renewed / name).replace(edge.certificates / name)
    wait_until(lambda: serial() != first, "the new certificate", ignoring=ssl.SSLError)


def test_missing_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    """`nginx -t` fails if the folder has no certificate, though it is read at handshakes."""
    variables = defaults(tmp_path, "server unix:/x.sock;") | with_tls(tmp_path)
    tested = check(render(tmp_path, variables), tmp_path)
    assert tested.returncode != 0
    assert "fullchain.pem" in tested.stderr


def test_no_hsts_without_tls(start_edge: StartEdge) -> None:
    """A stack without TLS never sends HSTS."""
    answer = ask(start_edge().port, "GET", "/x")
    assert "Strict-Transport-Security" not in answer.headers
