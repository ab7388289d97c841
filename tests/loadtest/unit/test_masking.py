"""Secrets in a request and its answer: none is left, and the rest stays readable."""

import json

import pytest

from loadtest.users.masking import MASK, Masking, is_secret, masked

_SECRETS = """
password Password new_password passwordAgain user[password] passwd pwd pw PIN csrf_token
X-CSRF-Token X-CSRFToken X-XSRF-TOKEN _csrf Authorization Proxy-Authorization Cookie Set-Cookie
access_token id_token refreshToken client_secret apiKey X-Api-Key api_key X-Auth X-Auth-Token sid
sessionid JSESSIONID PHPSESSID otp X-Amz-Signature sig code_verifier SAMLResponse csrf%5Ftoken
ticket
"""
_OTHERS = """
Idempotency-Key username sku X-Request-ID X-Served-By handle option status laptop code state
Content-Type ETag shipping passenger
"""
_SECRET = "s3cr3t-Ä+/=value"


def _masked(text: str) -> str:
    masking = Masking()
    shown = masking.body(text)
    return masking.found(shown)


def test_a_name_of_a_secret_is_known() -> None:
    """However it is spelt."""
    assert [name for name in _SECRETS.split() if not is_secret(name)] == []


def test_a_name_of_anything_else_is_not() -> None:
    """What helps to find a fault stays."""
    assert [name for name in _OTHERS.split() if is_secret(name)] == []


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"username": "ada", "password": _SECRET}),
        json.dumps({"username": "ada", "password": _SECRET}, ensure_ascii=False, indent=1),
        json.dumps([{"deep": [{"csrfToken": _SECRET}]}]),
        json.dumps({"password": {"new": _SECRET, "old": [_SECRET]}}),
        json.dumps({"log": json.dumps({"password": _SECRET})}),
        json.dumps({"redirect": f"https://a.example/in?code={'s3cr3t-value'}&x=1"}),
        json.dumps({"message": f"login failed for password={_SECRET!s}"}),
        # Cut off, or nearly JSON.
        json.dumps({"username": "ada", "password": _SECRET})[:-2],
        json.dumps({"password": _SECRET})[:-4],
        json.dumps({"a": json.dumps({"password": _SECRET})})[:-1],
        f"{{'username': 'ada', 'password': '{_SECRET}'}}",
        "username=ada&password=s3cr3t-%C3%84%2B%2F%3Dvalue",
        "user%5Bpassword%5D=s3cr3t-value",
        "/in?code=s3cr3t-value&state=s3cr3t-other#access_token=s3cr3t-third",
        "redis://user:s3cr3t-value@store:6379/0",
        f'<form><input type=hidden name="csrf_token" value="{_SECRET}"></form>',
        f"<input value='{_SECRET}' name='csrf_token'>",
        "<INPUT VALUE=s3cr3t-value NAME=password>",
        f'<input type="password" value="{_SECRET}">',
        f'<meta name="csrf-token" content="{_SECRET}">',
        f'<script>window.app = {{"csrfToken": "{_SECRET}"}}</script>',
        '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\ns3cr3t-value\r\n--b--',
        '--b\r\nDisposition: x; name="password"\r\nType: text\r\n\r\ns3cr3t-a\r\ns3cr3t-b\r\n--b--',
        "Cookie: sid=s3cr3t-value; theme=s3cr3t-dark\r\nAccept: x",
        "curl -H 'Authorization: Bearer s3cr3t-value0'",
        "eyJhbGciOiJIUzI1NiJ9.s3cr3tpayload.s3cr3tsignature",
        '{"pin": 83104, "x": 1}',
        # A name within another's value, or within what was cut off.
        "/in?next=/reset?token=s3cr3t-value",
        '{"password": {"new": "s3cr3t-value", "old": "s3cr3t-other"',
        '{"a": "x", "pin": 83104',
        'password="s3cr3t value"',
        json.dumps({"sent": {"headers": [["a", "Cookie: sid=s3cr3t-value"]]}}),
    ],
)
def test_no_secret_is_left_in_a_body(text: str) -> None:
    """Of JSON, forms, pages, URLs, and what is nearly one of these."""
    shown = _masked(text)
    assert "s3cr3t" not in shown
    assert "83104" not in shown
    assert MASK in shown


def test_what_is_no_secret_stays() -> None:
    """The shop's own bodies and answers are shown as they are."""
    for document in (
        {"items": [{"sku": "tea", "qty": 2, "price_cents": 450}], "count": 2, "total_cents": 900},
        {"type": "about:blank", "title": "Conflict", "status": 409, "code": "conflict"},
        {"handle": "k3v", "user": None, "hits": 4},
        ["a=b", "x: y", 1.5, True, None],
    ):
        assert json.loads(_masked(json.dumps(document))) == document
    assert _masked("sku=tea&qty=2") == "sku=tea&qty=2"


def test_headers_keep_their_names() -> None:
    """Cookies keep theirs, too, and the attributes; an idempotency key is no secret."""
    masking = Masking()
    shown = masking.headers(
        [
            ("Cookie", "sid=s3cr3t-a; __Host-csrf=s3cr3t-b"),
            ("Set-Cookie", 'sid="s3cr3t-c"; Path=/; HttpOnly'),
            ("Set-Cookie", "old=; Max-Age=0"),
            ("Authorization", "Bearer s3cr3t-d"),
            ("X-CSRF-Token", "s3cr3t-e"),
            ("X-Api-Key", "s3cr3t-f"),
            ("Location", "/in?token=s3cr3t-g&next=/cart"),
            ("Referer", "https://ada:s3cr3t-h@shop.example/"),
            ("Idempotency-Key", "8c6a"),
            ("X-Request-ID", "f00"),
        ]
    )
    assert shown == [
        ("Cookie", "sid=***; __Host-csrf=***"),
        ("Set-Cookie", 'sid="***"; Path=/; HttpOnly'),
        ("Set-Cookie", "old=; Max-Age=0"),
        ("Authorization", "Bearer ***"),
        ("X-CSRF-Token", "***"),
        ("X-Api-Key", "***"),
        ("Location", "/in?token=***&next=/cart"),
        ("Referer", "https://ada:***@shop.example/"),
        ("Idempotency-Key", "8c6a"),
        ("X-Request-ID", "f00"),
    ]


def test_a_secret_is_masked_wherever_it_stands() -> None:
    """An answer may repeat what only the request names: a cookie's value, or a known password."""
    masking = Masking(["hunter2"])
    masking.headers([("Cookie", 'sid="s3cr3t%2Dvalue"'), ("Authorization", "Basic s3cr3t-basic")])
    page = "unknown session s3cr3t-value (s3cr3t%2Dvalue), s3cr3t-basic, hunter2"
    assert masking.found(page) == f"unknown session {MASK} ({MASK}), {MASK}, {MASK}"


@pytest.mark.parametrize(
    "piece",
    ["a", "a=", '"', '\\"', "<input ", 'name="x"\r\n', "a:b@", "'a':", "eyJ-", "a=a", "a://b:"],
)
def test_a_large_body_is_masked(piece: str) -> None:
    """No pattern takes quadratic time, which would be hours, whatever the target answers."""
    text = piece * (256 * 1024 // len(piece))
    assert len(Masking().body(text)) <= len(text)


def test_the_name_of_a_route_may_be_a_url() -> None:
    """A journey that names no route is counted by its path, with its query."""
    assert masked("GET /reset?token=s3cr3t&lang=de") == f"GET /reset?token={MASK}&lang=de"
    assert masked("POST /api/cart/items") == "POST /api/cart/items"
