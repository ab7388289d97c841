"""The secrets of containers: made once, readable for containers, and for nobody else here."""

import hashlib
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from kit.docker.credentials import prepare
from kit.errors import KitError
from kit.settings import CHECKOUT, load
from kit.state import StateFolder


def _run(script: str, *arguments: Path | str, **environ: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], **environ}
    command: list[str | Path] = ["sh", f"compose/{script}", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=env, check=False, capture_output=True, text=True
    )


def test_secrets_are_made_once(tmp_path: Path, state: StateFolder) -> None:
    """The second time changes no file; the store's users have the passwords' digests."""
    files = {name: Path(path) for name, path in prepare(load({}, tmp_path), state).items()}
    before = {path: (path.read_text(), path.stat().st_mtime_ns) for path in files.values()}
    prepare(load({}, tmp_path), state)
    assert {path: (path.read_text(), path.stat().st_mtime_ns) for path in before} == before
    health = files["REDIS_HEALTH_PASSWORD_FILE"].read_text()
    assert hashlib.sha256(health.encode()).hexdigest() in files["REDIS_USERS_FILE"].read_text()
    assert files["SECRET_KEY_FILE"].read_text() == state.secret_key.read_text()


def test_secrets_are_private(tmp_path: Path, state: StateFolder) -> None:
    """Only its owner can enter the folder, whatever the umask; everybody can read its files."""
    former = os.umask(0)
    try:
        files = prepare(load({}, tmp_path), state)
    finally:
        os.umask(former)
    assert stat.S_IMODE(state.secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in files.values()} == {0o444}


def test_given_key_and_store_are_used(tmp_path: Path, state: StateFolder) -> None:
    """The files hold the caller's SECRET_KEY and REDIS_URL."""
    url = "rediss://user:password@redis.example:6379/0"
    settings = load({"SECRET_KEY": "k" * 32, "REDIS_URL": url}, tmp_path)
    files = prepare(settings, state)
    assert Path(files["SECRET_KEY_FILE"]).read_text() == "k" * 32
    assert Path(files["REDIS_URL_FILE"]).read_text() == url


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "unix:///run/redis.sock"])
def test_store_of_this_host_is_refused(tmp_path: Path, state: StateFolder, url: str) -> None:
    """A store that only this host reaches is refused, because containers cannot reach it."""
    with pytest.raises(KitError, match="containers cannot reach"):
        prepare(load({"REDIS_URL": url}, tmp_path), state)


def test_mongodb_has_a_secret_of_its_own(tmp_path: Path, state: StateFolder) -> None:
    """The caller's URL is a file, and a server in a container gets all that it needs, once."""
    elsewhere = {"STORE": "mongodb", "RUNTIME": "docker", "MONGODB_URL": "mongodb+srv://u:p@h/db"}
    files = prepare(load(elsewhere, tmp_path), state)
    assert Path(files["MONGODB_URL_FILE"]).read_text() == "mongodb+srv://u:p@h/db"
    assert not (state.secrets / "mongodb_key").exists()
    for host in ("127.0.0.1:27017", "h,localhost", "[::1]:1"):
        settings = load({**elsewhere, "MONGODB_URL": f"mongodb://u:p@{host}/db"}, tmp_path)
        with pytest.raises(KitError, match="containers cannot reach MONGODB_URL"):
            prepare(settings, state)
    settings = load({"STORE": "mongodb", "RUNTIME": "docker"}, tmp_path)
    path = Path(prepare(settings, state)["MONGODB_URL_FILE"])
    text = path.read_text()
    assert re.fullmatch(r"mongodb://shop:\w{64}@mongodb:27017/unsticky\?authSource=admin", text)
    prepare(settings, state)
    assert path.read_text() == text
    # The script makes the same for plain Compose.
    script = tmp_path / "script"
    assert _run("secrets.sh", script).returncode == 0
    assert _run("mongodb/secrets.sh", script).returncode == 0
    assert _run("mongodb/secrets.sh", script).stdout == ""
    for name in ("mongodb_key", "mongodb_admin_password", "mongodb_url"):
        made = state.secrets / name
        assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE((script / name).stat().st_mode)
        assert _form(made) == _form(script / name)


def test_script_and_kit_make_the_same_secrets(tmp_path: Path, state: StateFolder) -> None:
    """compose/secrets.sh and the kit make the same files, with the same modes and forms."""
    script = tmp_path / "script"
    assert _run("secrets.sh", script).returncode == 0
    prepare(load({}, tmp_path), state)

    def made(folder: Path) -> dict[str, tuple[int, str]]:
        files = [path for path in folder.iterdir() if path.name != ".gitignore"]
        return {path.name: (stat.S_IMODE(path.stat().st_mode), _form(path)) for path in files}

    assert made(script) == made(state.secrets)
    assert stat.S_IMODE(script.stat().st_mode) == stat.S_IMODE(state.secrets.stat().st_mode)


def test_older_secrets_are_completed(tmp_path: Path) -> None:
    """Those of a version without Sentinels stay as they are, in the middle of an exchange, too."""
    made = tmp_path / "made"
    for step in ("", "next", "use"):
        assert _run("secrets.sh", *filter(None, (step, str(made)))).returncode == 0
    for path in made.glob("sentinel_*"):
        path.unlink()
    users = (made / "redis_users").read_text()
    former = re.sub(r"user sentinel .*\n", "", users) + "user mine on nopass\n"
    (made / "redis_users").chmod(0o644)
    (made / "redis_users").write_text(former)
    before = {path.name: path.read_text() for path in made.iterdir()}
    assert _run("secrets.sh", made).returncode == 0
    assert "user sentinel on #" in (made / "redis_users").read_text()
    for name, text in before.items():
        assert (made / name).read_text().startswith(text), name
    # Sentinels accept the same passwords as the servers.
    for user in ("shop", "health"):
        accepted = {_digests(made / name, user) for name in ("redis_users", "sentinel_users")}
        assert len(accepted) == 1
        assert len(accepted.pop()) == 2


def test_sentinels_take_part_in_an_exchange(tmp_path: Path) -> None:
    """Each step gives the URL the password that is in use, which Sentinels and servers accept."""
    made = tmp_path / "made"
    for step in ("", "next", "use", "retire"):
        assert _run("secrets.sh", *filter(None, (step, str(made)))).returncode == 0
        (password,) = re.findall("shop:(.*)@", (made / "redis_url").read_text())
        assert (made / "sentinel_url").read_text().count(password) == 2
        digest = hashlib.sha256(password.encode()).hexdigest()
        for name in ("redis_users", "sentinel_users"):
            assert digest in _digests(made / name, "shop"), (step, name)


def _digests(users: Path, name: str) -> tuple[str, ...]:
    (line,) = re.findall(rf"^user {name} on(.*) resetkeys", users.read_text(), re.MULTILINE)
    return tuple(re.findall("#([0-9a-f]{64})", line))


@pytest.mark.parametrize("step", ["next", "use", "retire"])
def test_no_step_begins_without_secrets(tmp_path: Path, step: str) -> None:
    """Secrets that are not there are not exchanged: empty ones would let everybody in."""
    done = _run("secrets.sh", step, tmp_path / "made")
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no ")
    assert "hint: first: sh compose/secrets.sh" in done.stderr
    assert [path.name for path in (tmp_path / "made").iterdir()] == [".gitignore"]


def test_unknown_step_is_refused() -> None:
    """A mistyped step is no name of a folder."""
    done = _run("secrets.sh", "retrie")
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no step retrie\n  hint: ")


@pytest.mark.parametrize("is_first", [True, False])
def test_url_of_another_store_is_not_exchanged(tmp_path: Path, *, is_first: bool) -> None:
    """The password of a store elsewhere is its owner's; so is a URL that was there first."""
    made, url = tmp_path / "made", "rediss://user:password@redis.example:6379/0"
    made.mkdir()
    if is_first:
        (made / "redis_url").write_text(url)
    assert _run("secrets.sh", made).returncode == 0
    key = (made / "secret_key").read_text()
    (made / "redis_url").chmod(0o644)
    if not is_first:
        (made / "redis_url").write_text(url)
    for step in ("next", "use", "retire"):
        assert _run("secrets.sh", step, made).returncode == 0
    assert (made / "redis_url").read_text() == url
    assert (made / "secret_key").read_text() != key
    assert not list(made.glob("*.kept"))


def test_users_of_an_older_version_get_new_rights(tmp_path: Path) -> None:
    """The health user may ask for INFO then; passwords, and users whom the owner added, stay."""
    made = tmp_path / "made"
    assert _run("secrets.sh", made).returncode == 0
    users = made / "redis_users"
    newer = users.read_text()
    older = newer.replace(" +ping +info +acl|load", " +ping +acl|load") + "user mine on >x\n"
    users.chmod(0o644)
    users.write_text(older)
    for _ in range(2):
        assert _run("secrets.sh", made).returncode == 0
        renewed = users.read_text()
        assert {*renewed.split()} == {*older.split(), "+info"}
        assert "user mine on >x" in renewed.splitlines()
        assert re.search("^user health on #[0-9a-f]{64} .* [+]info$", renewed, re.MULTILINE)


def _form(path: Path) -> str:
    """Return the content with each secret and digest replaced, and digests compared to secrets."""
    text = path.read_text()
    for name in ("redis_url", "redis_health_password", "sentinel_password"):
        secret = re.search("[0-9a-f]{64}", (path.parent / name).read_text())
        assert secret
        text = text.replace(hashlib.sha256(secret[0].encode()).hexdigest(), f"<digest of {name}>")
    return re.sub("[0-9a-f]{64}", "<secret>", text)


def test_certificate_in_an_open_folder_is_refused() -> None:
    """A private key that others could read is not made; a private folder above is enough."""
    # pytest's own folder is private.
    with tempfile.TemporaryDirectory(prefix="open-") as name:
        above = Path(name, "above")
        above.mkdir(mode=0o755)
        Path(name).chmod(0o755)
        refused = _run("certificate.sh", TLS_DIR=str(above / "tls"))
        assert refused.returncode == 1
        assert str(above) in refused.stderr
        assert "hint:" in refused.stderr
        assert not list(above.rglob("*.pem"))
        above.chmod(0o700)
        made = _run("certificate.sh", TLS_DIR=str(above / "tls"))
        assert made.returncode == 0, made.stderr
        assert (above / "tls" / "privkey.pem").exists()


def test_scripts_ignore_cdpath(tmp_path: Path) -> None:
    """With CDPATH set, `cd` prints where it goes, which is not part of a folder's name."""
    done = _run("secrets.sh", tmp_path / "made", CDPATH=f"{CHECKOUT}:/")
    assert done.returncode == 0, done.stderr
    assert "user shop" in (tmp_path / "made" / "redis_users").read_text()
