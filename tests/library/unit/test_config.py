"""Configuration: what is read, and that what is wrong refuses to start."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from unsticky import Unsticky
from unsticky.config import Config, OnConflict, parse_secrets
from unsticky.errors import ConfigurationError
from unsticky.merge import first_wins
from unsticky.state import ExtensionState

GOOD: dict[str, Any] = {"SECRET_KEY": "x" * 20, "UNSTICKY_STORE": "memory://"}


def started(**settings: Any) -> ExtensionState:
    """Return what an application with these settings has."""
    app = Flask("settings")
    app.config.update({**GOOD, **settings})
    return Unsticky(app).state


def test_the_defaults() -> None:
    """What an application gets that sets nothing but its secret."""
    state = started()
    config = state.config
    assert state.lifetimes.idle == 31 * 86_400_000
    assert state.lifetimes.absolute == 90 * 86_400_000
    assert state.lifetimes.unused == 65 * 60_000
    assert (config.deadline, config.on_conflict) == (1.0, OnConflict.CONFLICT)
    assert (config.prefix, config.max_sessions_per_user) == ("unsticky:", 100)
    assert (state.cookie.name, state.cookie.samesite) == ("session", "Lax")
    assert state.cookie.httponly


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SECRET_KEY", 5),
        ("SECRET_KEY_FALLBACKS", "single"),
        ("SECRET_KEY_FALLBACKS", [None]),
        ("SECRET_KEY_FALLBACKS", [""]),
        ("UNSTICKY_PEPPER", "short"),
        ("UNSTICKY_PEPPER", 5),
        ("UNSTICKY_PEPPER_FALLBACKS", "a pepper that is no list"),
        ("UNSTICKY_PEPPER_FALLBACKS", ["short"]),
        ("PERMANENT_SESSION_LIFETIME", None),
        ("PERMANENT_SESSION_LIFETIME", 0),
        ("PERMANENT_SESSION_LIFETIME", -1),
        ("PERMANENT_SESSION_LIFETIME", "1h"),
        ("PERMANENT_SESSION_LIFETIME", float("nan")),
        ("PERMANENT_SESSION_LIFETIME", float("inf")),
        ("PERMANENT_SESSION_LIFETIME", timedelta.max),
        ("UNSTICKY_ABSOLUTE_LIFETIME", 0.5),
        ("UNSTICKY_ABSOLUTE_LIFETIME", timedelta(days=100_000)),
        ("UNSTICKY_UNUSED_LIFETIME", -5),
        ("UNSTICKY_DEADLINE", 0),
        ("UNSTICKY_DEADLINE", 31),
        ("UNSTICKY_DEADLINE", "1"),
        ("UNSTICKY_DEADLINE", True),
        ("UNSTICKY_DEADLINE", float("inf")),
        ("UNSTICKY_DEADLINE", float("nan")),
        ("UNSTICKY_CONFLICT", "ignore"),
        ("UNSTICKY_MERGE", ["field"]),
        ("UNSTICKY_MERGE", {"field": "newest"}),
        ("UNSTICKY_LOGOUT", "forget"),
        ("UNSTICKY_MAX_BYTES", 0),
        ("UNSTICKY_MAX_BYTES", float("inf")),
        ("UNSTICKY_MAX_SESSIONS_PER_USER", 0),
        ("UNSTICKY_MAX_SESSIONS_PER_USER", 0.5),
        ("SESSION_KEY_PREFIX", "a{b}"),
        ("SESSION_KEY_PREFIX", "a\nb"),
        ("SESSION_KEY_PREFIX", b"bytes"),
        ("SESSION_COOKIE_SAMESITE", "Sometimes"),
        ("SESSION_COOKIE_NAME", "__Host-sid"),
        ("SESSION_COOKIE_NAME", "__Secure-sid"),
        ("SESSION_COOKIE_NAME", "a b"),
    ],
)
def test_a_wrong_value_refuses_to_start(key: str, value: object) -> None:
    """The message names the key."""
    with pytest.raises(ConfigurationError, match=key):
        started(**{key: value})


def test_results_are_kept_longer_than_any_resend_may_take() -> None:
    """However long the deadline, a resend within it finds the result of the first."""
    assert started().config.operation_lifetime == 10_000
    assert started(UNSTICKY_DEADLINE=30).config.operation_lifetime == 60_000


@pytest.mark.parametrize("key", ["SESSION_COOKIE_SAMESITE", "SESSION_COOKIE_PARTITIONED"])
def test_what_browsers_take_only_with_secure_needs_it(key: str) -> None:
    """The message names the setting that is missing."""
    value = "None" if key == "SESSION_COOKIE_SAMESITE" else True
    with pytest.raises(ConfigurationError, match="SESSION_COOKIE_SECURE"):
        started(**{key: value})


@pytest.mark.parametrize(
    "contradiction", [{"SESSION_COOKIE_DOMAIN": "example.org"}, {"SESSION_COOKIE_PATH": "/app"}]
)
def test_a_host_cookie_has_no_domain_and_no_path(contradiction: dict[str, str]) -> None:
    """Browsers refuse such a cookie, so the configuration does."""
    base = {"SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_SECURE": True}
    assert started(**base).cookie.secure
    with pytest.raises(ConfigurationError, match="__Host-"):
        started(**base, **contradiction)


def test_limits_that_contain_each_other() -> None:
    """Idle is at most absolute, unused at most idle; no absolute limit is possible."""
    short = started(UNSTICKY_ABSOLUTE_LIFETIME=60).lifetimes
    assert (short.idle, short.absolute, short.unused) == (60_000, 60_000, 60_000)
    endless = started(UNSTICKY_ABSOLUTE_LIFETIME=None).lifetimes
    assert endless.absolute is None


def test_where_sessions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's UNSTICKY_STORE, ours, a ready client, then a REDIS_URL, then memory."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("UNSTICKY_STORE", raising=False)
    assert Config.parse({}).store == "memory://"
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    assert Config.parse({}).store == "redis://environment"
    configured: dict[str, Any] = {"REDIS_URL": "redis://configured"}
    assert Config.parse(configured).store == "redis://configured"
    configured["SESSION_REDIS"] = object()
    assert Config.parse(configured).store == "client"
    configured["UNSTICKY_STORE"] = "memory://"
    assert Config.parse(configured).store == "memory://"
    monkeypatch.setenv("UNSTICKY_STORE", "redis://first")
    assert Config.parse(configured).store == "redis://first"
    monkeypatch.setenv("UNSTICKY_STORE", "auto")
    assert Config.parse(configured).store == "memory://"


def test_rules_of_the_applications_own_stand_beside_the_built_in() -> None:
    """A named rule or a function for a field; what Flask needs stays."""
    config = Config.parse({**GOOD, "UNSTICKY_MERGE": {"a": "first", "b": max}})
    assert config.merges["a"] is first_wins
    assert config.merges["b"] is max
    assert "_flashes" in config.merges


def test_secrets_may_be_text_or_bytes() -> None:
    """Both give the same key."""
    assert parse_secrets(b"x", ["y"]) == (b"x", b"y")


def test_a_setting_in_the_environment_alone_is_not_ignored_silently(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names it, unless the application has put it into its configuration."""
    monkeypatch.setenv("UNSTICKY_MERGE", '{"user": "last"}')
    monkeypatch.setenv("UNSTICKY_DEADLINE", "2")
    app = Flask(__name__)
    app.config.update(GOOD, UNSTICKY_DEADLINE=2)
    Unsticky(app)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["UNSTICKY_MERGE in the environment is not read: set it in app.config"]
