"""Settings: where a value comes from, and how an unusable one is refused."""

import re
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.settings import _ALIASES, _COMPOSE, _LOAD, _NAMES, CHECKOUT, load


def test_defaults_are_those_of_the_example(tmp_path: Path) -> None:
    """With nothing set there are two replicas of two workers on port 8080, in .state."""
    settings = load({}, tmp_path)
    assert (settings.port, settings.replicas, settings.workers) == (8080, 2, 2)
    assert settings.state_dir == tmp_path / ".state"
    assert settings.venv_dir == tmp_path / ".state" / "venv"
    assert settings.own_store


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A value of the environment, which includes make's command line, wins; an empty one not."""
    (tmp_path / ".env").write_text("PORT=9000\nREPLICAS=3\nSTRIPE_KEY='a b'\nTLS_PORT=8443\n")
    settings = load({"PORT": "9001", "REPLICAS": ""}, tmp_path)
    assert (settings.port, settings.replicas) == (9001, 3)
    # What the kit does not know goes to the replicas; its own names do not.
    assert settings.application == {"STRIPE_KEY": "a b"}


@pytest.mark.parametrize("name", ["WORKERS", "NGINX_IDEMPOTENT_PATHS"])
def test_alias_counts_unless_the_name_is_set(tmp_path: Path, name: str) -> None:
    """WEB_CONCURRENCY means WORKERS; of both, the setting's own name wins."""

    def value(environ: dict[str, str]) -> object:
        settings = load(environ, tmp_path)
        return settings.workers if name == "WORKERS" else settings.compose[name]

    assert str(value({_ALIASES[name]: "5"})) == "5"
    assert str(value({_ALIASES[name]: "5", name: "3"})) == "3"


@pytest.mark.parametrize(
    "given",
    [
        *("PORT=0", "PORT=65536", "PORT=80a", "PORT=٨٠٨٠", "TLS_PORT=0", "PROXY_HOPS=9"),
        *("REQUEST_SECONDS=0", "TRUSTED_PROXIES=10.0.0.1/8", "NGINX_STATIC_DIR=/nowhere"),
        *("REPLICAS=0", "REPLICAS=1000000", "WORKERS=-1", "WORKERS=1.5", "THREADS=2"),
        *("WORKER_CLASS=tornado", "RUNTIME=k8s", "OVERLAYS=tls", "SHOP_DEMO=maybe"),
        *("SERVED_BY=yes", "APP=shop; rm", "REDIS_MAXMEMORY=lots", "STATE_DIR=a\nb"),
        *("REDIS_SERVER=/nowhere/redis-server", "NGINX_BIN=/etc/passwd"),
        *("SECRET_KEY_FILE=/nowhere/key", "STATE_DIR=~nobody-of-this-name/x", "ARGS='open"),
    ],
)
def test_refusals_name_the_value(tmp_path: Path, given: str) -> None:
    """A value that cannot be used is refused with its name, the value, and one that can be used."""
    name, _, value = given.partition("=")
    with pytest.raises(KitError) as refusal:
        load({name: value}, tmp_path)
    assert name in refusal.value.problem
    assert value in refusal.value.problem or repr(value) in refusal.value.problem
    assert refusal.value.hints


def test_both_secrets_are_refused(tmp_path: Path) -> None:
    """SECRET_KEY beside SECRET_KEY_FILE is refused, because it is unclear which counts."""
    with pytest.raises(KitError, match="both SECRET_KEY and SECRET_KEY_FILE"):
        load({"SECRET_KEY": "x" * 32, "SECRET_KEY_FILE": __file__}, tmp_path)


def test_gthread_has_threads(tmp_path: Path) -> None:
    """THREADS is for gthread alone, where its default is 4."""
    assert load({"WORKER_CLASS": "gthread"}, tmp_path).threads == 4
    assert load({"WORKER_CLASS": "gthread", "THREADS": "9"}, tmp_path).threads == 9
    assert load({}, tmp_path).threads == 1


def test_misspelled_name_is_refused(tmp_path: Path) -> None:
    """A name in .env that is nearly one of the kit's is refused, with the right name."""
    (tmp_path / ".env").write_text("REPLICSA=4\n")
    with pytest.raises(KitError, match="REPLICAS"):
        load({}, tmp_path)


def test_example_explains_every_name() -> None:
    """Each setting of kit, shop, Compose and load test is in .env.example, commented out."""
    example = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    own = {"RECENT_LOGIN_SECONDS", "LOG_LEVEL", "UNSTICKY_WAIT"}
    assert explained == _NAMES - {"DIR"} | _COMPOSE | _LOAD | own
    assert not re.findall(r"^[A-Z_]+=", example, re.MULTILINE)


def test_compose_reads_known_names_only() -> None:
    """Each name that compose/*.yaml takes from the environment is the kit's or Compose's own."""
    folder = CHECKOUT / "compose"
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")]
    used = set(re.findall(r"\$\{([A-Z_]+)", "".join(texts)))
    assert used - _NAMES - {"LOG_LEVEL", *_ALIASES.values()} == _COMPOSE - {"COMPOSE_FILE"}


def test_value_of_the_environment_is_named_as_such(tmp_path: Path) -> None:
    """A refused value that another program may have exported is said to be the environment's."""
    port = {"PORT": "tcp://10.0.0.1:80"}
    with pytest.raises(KitError) as of_environment:
        load(port, tmp_path)
    with pytest.raises(KitError) as typed:
        load({**port, "MAKEFLAGS": "s -- PORT=tcp://10.0.0.1:80"}, tmp_path)
    assert "`unset PORT`" in of_environment.value.hints[-1]
    assert "unset" not in str(typed.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://:hunter2@h:port/0", "port"),
        ("redis://:hun/ter2@h", "port"),
        ("redis://:hunter2@h/orders", "database"),
        ("redis://:hunter#2@h", "%23"),
        ("redis://", "no host"),
        ("redis://[::1", "host"),
        ("unix://run/redis.sock", "three slashes"),
        ("memory://", "rediss://"),
        ("http://:hunter2@example.org", "rediss://"),
        ("hunter2", "rediss://"),
        ("redis+sentinel://:hunter2@h1,h2", "no service"),
        ("redis+sentinel://:hunter2@h1,:1/shop", "no host"),
        ("redis+cluster://:hunter2@h1:port,h2", "port"),
    ],
)
def test_malformed_store_is_reported_by_its_own_name(
    tmp_path: Path, url: str, problem: str
) -> None:
    """A REDIS_URL that cannot be read is refused at once, as REDIS_URL, and is not shown."""
    with pytest.raises(KitError, match=f"REDIS_URL cannot be used: .*{problem}") as refusal:
        load({"REDIS_URL": url}, tmp_path)
    assert "hun" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://u:p%2F@[::1]:6380/3?ssl_cert_reqs=none",
        "redis://h?db=1",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://u:p%2F@h1:26379,[::1],h3/shop/0?sentinel_password=p",
        "rediss+cluster://h1:7000,h2:7000?ssl_cert_reqs=none",
        "unix://:p@/run/redis.sock",
    ],
)
def test_store_of_every_form_is_accepted(tmp_path: Path, url: str) -> None:
    """What redis-py reads is not refused."""
    assert load({"REDIS_URL": url}, tmp_path).redis_url == url


@pytest.mark.parametrize("name", ["REDIS_MIN_REPLICAS", "UNSTICKY_WAIT"])
def test_what_needs_replicas_needs_several_servers(tmp_path: Path, name: str) -> None:
    """With one server every change would be unknown, or the number would do nothing."""
    with pytest.raises(KitError, match=f"{name}=1.* needs a store with replicas"):
        load({name: "1"}, tmp_path)
    assert load({name: "1", "STORE": "sentinel"}, tmp_path).store == "sentinel"
    if name == "UNSTICKY_WAIT":
        assert not load({name: "1 9", "REDIS_URL": "redis+sentinel://h/s"}, tmp_path).own_store


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "neither MONGODB_URL nor MONGOD_BIN is set"),
        ({"MONGODB_URL": "mongodb://h", "MONGOD_BIN": "/bin/sh"}, "both MONGODB_URL and MONGOD"),
        ({"MONGODB_URL": "redis://:hunter2@h"}, "does not begin with mongodb://"),
        ({"MONGOD_BIN": "/nowhere"}, "not a program that you may run"),
        ({"MONGOD_BIN": "/bin/sh", "RUNTIME": "docker"}, "containers have their own"),
        ({"MONGODB_URL": "mongodb://h", "UNSTICKY_WAIT": "1 9"}, "about replicas of Redis"),
        ({"MONGODB_URL": "mongodb://h", "REDIS_MIN_REPLICAS": "1"}, "about replicas of Redis"),
    ],
)
def test_mongodb_needs_one_server(tmp_path: Path, given: dict[str, str], problem: str) -> None:
    """What cannot be meant is refused before anything starts, and no password is shown."""
    with pytest.raises(KitError, match=problem) as refusal:
        load({"STORE": "mongodb", **given}, tmp_path)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.hints


def test_mongodb_has_the_sessions_alone(tmp_path: Path) -> None:
    """The shop's records stay in the kit's store; another application needs none."""
    mongodb = {"STORE": "mongodb", "MONGODB_URL": "mongodb+srv://u:p@h/db"}
    assert load(mongodb, tmp_path).own_store
    assert not load({**mongodb, "REDIS_URL": "redis://h"}, tmp_path).own_store
    assert not load({**mongodb, "APP_DIR": str(tmp_path)}, tmp_path).own_store
    assert load({"STORE": "mongodb", "RUNTIME": "docker"}, tmp_path).in_mongodb
    # A variable of another program, as long as nothing asks for it.
    assert not load({"MONGODB_URL": "mongodb://h"}, tmp_path).in_mongodb


def test_example_of_a_choice_fits_every_verb(tmp_path: Path) -> None:
    """The hint names a value and no verb, because any verb may have been given."""
    with pytest.raises(KitError) as refusal:
        load({"RUNTIME": "podman"}, tmp_path)
    assert refusal.value.hints[0] == "for example: RUNTIME=local"
