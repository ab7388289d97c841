"""The environment becomes settings, or the shop does not start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shop import Settings, SettingsError

from tests.support.shop.in_process import SECRET

_OTHER = "f9e8d7c6b5a493827160"
_STORE = "redis://store:6379/0"
_DEFAULTS = Settings(
    secret_key=SECRET,
    redis_url=_STORE,
    replica="app-1",
    served_by=False,
    trusted_hosts=("localhost", "127.0.0.1", "[::1]"),
    proxy_hops=1,
    secure_cookie=False,
    demo=False,
    recent_login_seconds=900,
    workers=2,
)


def _given(**values: str) -> dict[str, str]:
    return {"SECRET_KEY": SECRET, "REDIS_URL": _STORE, "REPLICA": "app-1", **values}


@pytest.mark.parametrize("name", ["WORKERS", "TRUSTED_HOSTS", "PROXY_HOPS", "SECRET_KEY_FILE"])
def test_defaults(name: str) -> None:
    """With a secret and a store the shop serves this machine's names behind one proxy.

    An empty variable, as Compose makes them, means the default.
    """
    assert Settings.from_env(_given()) == _DEFAULTS
    assert Settings.from_env(_given(**{name: ""})) == _DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "setting", "read"),
    [
        ("SECRET_KEY", _OTHER, "secret_key", _OTHER),
        ("REDIS_URL", "redis://other", "redis_url", "redis://other"),
        ("REPLICA", "app-7", "replica", "app-7"),
        ("SERVED_BY", "1", "served_by", True),
        ("TRUSTED_HOSTS", "A.test, .b.test,", "trusted_hosts", ("a.test", ".b.test")),
        ("PROXY_HOPS", "2", "proxy_hops", 2),
        ("SESSION_COOKIE_SECURE", "1", "secure_cookie", True),
        ("SHOP_DEMO", "1", "demo", True),
        ("RECENT_LOGIN_SECONDS", "60", "recent_login_seconds", 60),
        ("WORKERS", "8", "workers", 8),
        ("UNSTICKY_WAIT", "1 100", "wait", "1 100"),
    ],
)
def test_each_variable_is_read(name: str, value: str, setting: str, read: Any) -> None:
    """Each variable reaches its setting, and no other."""
    assert Settings.from_env(_given(**{name: value})) == replace(_DEFAULTS, **{setting: read})


@pytest.mark.parametrize(
    ("name", "empty"),
    [("SECRET_KEY", "SECRET_KEY_FILE=.*/value.* is empty"), ("REDIS_URL", "REDIS_URL is not set")],
)
def test_value_in_file(tmp_path: Path, name: str, empty: str) -> None:
    """Secrets may lie in files, without the white space around them; nobody gives one twice.

    A file that is missing, empty or not text is refused, with its path.
    """
    path, given = tmp_path / "value", _given()
    path.write_text(f"{given.pop(name)}\n", encoding="utf-8")
    given[f"{name}_FILE"] = str(path)
    assert Settings.from_env(given) == _DEFAULTS
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_env({**given, name: _OTHER})
    path.write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match=empty):
        Settings.from_env(given)
    path.write_bytes(b"\xff\xfe" * 20)
    for _ in range(2):
        with pytest.raises(SettingsError, match=f"{name}_FILE=.*/value.* cannot be read"):
            Settings.from_env(given)
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("url", [{}, {"REDIS_URL": ""}])
def test_store_is_required(url: dict[str, str]) -> None:
    """Without a store the shop does not start, and says how to get one."""
    with pytest.raises(SettingsError, match=r"REDIS_URL is not set.*\n  hint: .*make up"):
        Settings.from_env({"SECRET_KEY": SECRET, **url})


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "x" * 64,
        "abcabcabcabcabcabcabcabc",
        "change-me-in-production",
        "please-CHANGEME-now-1234",
        "<your long secret here!>",
        "your-secret-key-goes-here",
        "${SECRET_KEY:?set-it-0123}",
        "super-secret-value-12345",
    ],
)
def test_weak_secrets_are_refused(secret: str) -> None:
    """A secret that is missing, easy to guess or a placeholder is refused, and not shown."""
    with pytest.raises(SettingsError, match=r"(?s)SECRET_KEY.*hint: .*token_hex") as refused:
        Settings.from_env({"SECRET_KEY": secret})
    assert not secret or secret not in str(refused.value)


_WRONG = {
    "SERVED_BY": ("yes", "true"),
    "SESSION_COOKIE_SECURE": ("2",),
    "PROXY_HOPS": ("-1", "one", "9", "1.0"),
    "RECENT_LOGIN_SECONDS": ("0", "soon"),
    "TRUSTED_HOSTS": ("https://shop.example", "shop.example:8080", "*", "::1", ", ,"),
    "REPLICA": ("app 1", "app\n1", "a" * 65),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in _WRONG.items() for value in values]
)
def test_wrong_values_are_refused(name: str, value: str) -> None:
    """A wrong value is refused with its name and the value, and a hint."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(_given(**{name: value}))
    reason, hint = str(refused.value).split("\n")
    assert reason.startswith(f"{name}={value!r}")
    assert hint.startswith("  hint: ")


def test_secrets_are_not_printed() -> None:
    """Neither the key nor the store's password appears where settings are printed."""
    settings = Settings(secret_key=SECRET, redis_url="redis://:hidden@store/0")
    assert SECRET not in repr(settings)
    assert "hidden" not in repr(settings)
