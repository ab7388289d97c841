"""The environment becomes settings, or the shop does not start."""

from pathlib import Path

import pytest
from shop import Settings, SettingsError

from tests.support.shop.in_process import SECRET

_OTHER = "f9e8d7c6b5a493827160"
_STORE = "redis://store:6379/0"


def _given(**values: str) -> dict[str, str]:
    return {"SECRET_KEY": SECRET, "REDIS_URL": _STORE, **values}


def test_defaults() -> None:
    """With a secret and a store the shop serves this machine's names behind one proxy."""
    settings = Settings.from_env(_given(REPLICA="app-1"))
    assert settings == Settings(
        secret_key=SECRET,
        redis_url=_STORE,
        replica="app-1",
        served_by=False,
        trusted_hosts=("localhost", "127.0.0.1", "[::1]"),
        proxy_hops=1,
        secure_cookie=False,
        demo=False,
        recent_login_seconds=900,
    )


def test_everything_set() -> None:
    """Each variable reaches its setting."""
    settings = Settings.from_env(
        {
            "SECRET_KEY": SECRET,
            "REDIS_URL": _STORE,
            "REPLICA": "app-7",
            "SERVED_BY": "1",
            "TRUSTED_HOSTS": "Shop.example, .shop.example,[::1],",
            "PROXY_HOPS": "2",
            "SESSION_COOKIE_SECURE": "1",
            "SHOP_DEMO": "1",
            "RECENT_LOGIN_SECONDS": "60",
        }
    )
    assert settings == Settings(
        secret_key=SECRET,
        redis_url=_STORE,
        replica="app-7",
        served_by=True,
        trusted_hosts=("shop.example", ".shop.example", "[::1]"),
        proxy_hops=2,
        secure_cookie=True,
        demo=True,
        recent_login_seconds=60,
    )


def test_empty_variables_count_as_unset() -> None:
    """An empty variable, as Compose makes them, means the default."""
    names = ("SERVED_BY", "TRUSTED_HOSTS", "PROXY_HOPS", "SECRET_KEY_FILE")
    given = dict.fromkeys(names, "") | _given(REPLICA="app-1")
    defaults = Settings(secret_key=SECRET, redis_url=_STORE, replica="app-1")
    assert Settings.from_env(given) == defaults


def test_secret_in_file(tmp_path: Path) -> None:
    """SECRET_KEY_FILE names a file that holds the key; white space around it does not count."""
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    given = {"SECRET_KEY_FILE": str(path), "REDIS_URL": _STORE}
    assert Settings.from_env(given).secret_key == SECRET


def test_store_in_file(tmp_path: Path) -> None:
    """REDIS_URL_FILE names a file that holds the URL, which may hold a password."""
    path = tmp_path / "url"
    path.write_text("redis://shop:word@store:6379/0\n", encoding="utf-8")
    given = {"SECRET_KEY": SECRET, "REDIS_URL_FILE": str(path)}
    assert Settings.from_env(given).redis_url == "redis://shop:word@store:6379/0"
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_env(given | {"REDIS_URL": "redis://other"})
    path.unlink()
    with pytest.raises(SettingsError, match=r"REDIS_URL_FILE=.*cannot be read"):
        Settings.from_env(given)


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


def test_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """A secret given twice is refused, since nobody knows which one counts."""
    path = tmp_path / "key"
    path.write_text(_OTHER, encoding="utf-8")
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_env({"SECRET_KEY": SECRET, "SECRET_KEY_FILE": str(path)})


def test_unreadable_secret_files_are_refused(tmp_path: Path) -> None:
    """A file that is missing, empty or not text is refused, with its path."""
    missing, empty, binary = (tmp_path / name for name in ("missing", "empty", "binary"))
    empty.touch()
    binary.write_bytes(b"\xff\xfe" * 20)
    for path in (missing, empty, binary):
        with pytest.raises(SettingsError, match=path.name):
            Settings.from_env({"SECRET_KEY_FILE": str(path)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVED_BY", "yes"),
        ("SERVED_BY", "true"),
        ("SESSION_COOKIE_SECURE", "2"),
        ("PROXY_HOPS", "-1"),
        ("PROXY_HOPS", "one"),
        ("PROXY_HOPS", "9"),
        ("PROXY_HOPS", "1.0"),
        ("RECENT_LOGIN_SECONDS", "0"),
        ("RECENT_LOGIN_SECONDS", "soon"),
        ("TRUSTED_HOSTS", "https://shop.example"),
        ("TRUSTED_HOSTS", "shop.example:8080"),
        ("TRUSTED_HOSTS", "*"),
        ("TRUSTED_HOSTS", "::1"),
        ("TRUSTED_HOSTS", ", ,"),
        ("REPLICA", "app 1"),
        ("REPLICA", "app\n1"),
        ("REPLICA", "a" * 65),
    ],
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
