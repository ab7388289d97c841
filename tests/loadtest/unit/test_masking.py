"""Secrets in a request and its answer: none is left, and the rest stays readable."""

import json

import pytest

from loadtest.users.masking import MASK, Masking, masker
from loadtest.users.secret_names import is_secret

_SECRETS = """
password Password new_password passwordAgain user[password] passwd pwd pw PIN csrf_token
X-CSRF-Token X-CSRFToken X-XSRF-TOKEN _csrf Authorization Proxy-Authorization Cookie Set-Cookie
access_token id_token refreshToken client_secret apiKey X-Api-Key api_key X-Auth X-Auth-Token sid
sessionid JSESSIONID PHPSESSID otp X-Amz-Signature sig code_verifier SAMLResponse csrf%5Ftoken
ticket otp_code mfaCode AUTH_CODE recovery_codes backupCodes card_number cc-number X-Auth-Key
X-Otp-Code device_code securityCode DB_PASS userPin user[pin] connect.sid cvv2 accessKeyId
"""
_OTHERS = """
Idempotency-Key username sku X-Request-ID X-Served-By handle option status laptop code state
Content-Type ETag shipping passenger token_type tokenCount max_tokens password_changed_at
csrf_header_name tickets ticket_id author_code postcode pincode zip_code order_number primary_key
confirmation_code is_bot spin business
"""
_SECRET = "s3cr3t-Ä+/=value"
# Put together, so that no scanner of secrets takes it for one.
_PEM_HEAD = "-----BEGIN RSA " + "PRIVATE KEY-----"


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
        # A name and its value apart: HAR, forms, and what validators say of a field.
        json.dumps([{"name": "password", "value": _SECRET}, {"value": "s3cr3t-b", "key": "otp"}]),
        json.dumps({"loc": ["body", "password"], "msg": "too short", "input": "s3cr3t-value"}),
        json.dumps({"field": "pin", "rejectedValue": 83104}),
        json.dumps({"name": "password", "value": _SECRET})[:-4],
        json.dumps({"a": json.dumps({"name": "password", "value": _SECRET})})[:-1],
        # XML.
        "<a><token>s3cr3t-value</token></a>",
        '<s:Password Type="text">s3cr3t value</s:Password>',
        "<password><![CDATA[s3cr3t<value>]]></password>",
        "<apiKey>s3cr3t-val",
        '<textarea rows=2 name="csrf_token">s3cr3t-value</textarea>',
        # Python's.
        "token=b's3cr3t-value'",
        "{'token': b's3cr3t-value', 'x': 1}",
        "postgres://u:s3cr3t-a@s3cr3t-b@store/db",
        '"postgres://u:s3cr3t/a@store/db","mail":"a@b"',
        "redis://u:s3cr3t-a@one:6379,redis://u:s3cr3t-b@two:6379",
        f"{_PEM_HEAD}\nProc-Type: 4,s3cr3t\n\ns3cr3t\n-----END RSA PRIVATE KEY-----",
        json.dumps({"text": f"{_PEM_HEAD}\ns3cr3t\n"}),
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
        {"name": "theme", "value": "dark", "password": True, "token_type": "Bearer"},
        {"errors": [{"field": "password", "detail": "too short"}]},
        {"tickets": [{"id": 12, "name": "Row 3"}], "max_tokens": 4096},
    ):
        assert json.loads(_masked(json.dumps(document))) == document
    for text in (
        "sku=tea&qty=2",
        "http://shop.example:8080/users/@ada",
        "http://one:9092,two:9092/a@b",
        "Usage: login <password> with what you have",
        "<p>a <code>404</code> means <b>gone</b></p>",
        "remember_token=1",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ):
        assert _masked(text) == text


def test_a_short_secret_hides_nothing_else() -> None:
    """Neither a status, nor a word that it is a part of; where it stands alone, it is masked."""
    masking = Masking(["ada"])
    shown = masking.body(json.dumps({"cvc": "200", "pin": "8310"}))
    assert shown == f'{{"cvc": "{MASK}", "pin": "{MASK}"}}'
    text = "HTTP/1.1 200 OK: metadata of ada, 'ada', %2Fada, \\nada, pin 8310"
    assert masking.found(text) == (
        f"HTTP/1.1 200 OK: metadata of {MASK}, '{MASK}', %2F{MASK}, \\n{MASK}, pin {MASK}"
    )


def test_what_is_no_secret_is_not_learned() -> None:
    """Otherwise, each `true` of the answer would be masked."""
    masking = Masking()
    assert masking.headers([("Access-Control-Allow-Credentials", "true")]) == [
        ("Access-Control-Allow-Credentials", "true")
    ]
    assert masking.found("[true]") == "[true]"


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
    [
        *("a", "a=", '"', '\\"', "<input ", 'name="x"\r\n', "a:b@", "'a':", "eyJ-", "a=a"),
        *("<a>", "<token>", "<token><![CDATA[", "<textarea name=a ", '"name":"otp","value":'),
        *("a://b:", "a://b:1", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "<a "),
    ],
)
def test_a_large_body_is_masked(piece: str) -> None:
    """No pattern takes quadratic time, which would be hours, whatever the target answers."""
    text = piece * (256 * 1024 // len(piece))
    assert len(Masking().body(text)) <= len(text)


def test_one_text_is_masked() -> None:
    """By the names in it, as the URL of a route, and of what is known."""
    masked = masker(["hunter2"])
    assert masked("GET /reset?token=s3cr3t&lang=de") == f"GET /reset?token={MASK}&lang=de"
    assert masked("POST /api/cart/items") == "POST /api/cart/items"
    assert masked("welcome hunter2") == f"welcome {MASK}"
