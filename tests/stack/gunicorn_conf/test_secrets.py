"""Secrets that come as files."""

import signal
from pathlib import Path

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.waiting import wait_until


@pytest.fixture(name="secrets")
def _secrets(tmp_path: Path) -> Path:
    """The folder where secrets are mounted."""
    (tmp_path / "database_url").write_text("postgres://app:one@db/app\n", encoding="utf-8")
    return tmp_path


def _settings(secrets: Path) -> dict[str, str]:
    return {"SECRETS_DIR": str(secrets), "DATABASE_URL_FILE": f"{secrets}/database_url"}


def test_application_gets_the_content_of_secret_files(new_server: NewServer, secrets: Path) -> None:
    """NAME_FILE below SECRETS_DIR becomes NAME before the application is imported, and is gone."""
    server = new_server(**_settings(secrets)).start()
    assert server.get("/imported/DATABASE_URL").body == b"postgres://app:one@db/app"
    assert server.get("/imported/DATABASE_URL_FILE").body == b""


def test_files_outside_secrets_dir_stay_paths(new_server: NewServer, secrets: Path) -> None:
    """SSL_CERT_FILE and its like, outside SECRETS_DIR, stay as they are."""
    elsewhere = f"{secrets}/database_url"
    server = new_server(SECRETS_DIR=f"{secrets}/other", SSL_CERT_FILE=elsewhere).start()
    assert server.get("/imported/SSL_CERT_FILE").body == elsewhere.encode()
    assert server.get("/imported/SSL_CERT").body == b""


def test_no_process_environment_shows_a_secret(new_server: NewServer, secrets: Path) -> None:
    """The environment that master and workers show to others holds the path, never the secret."""
    server = new_server(**_settings(secrets)).start()
    for pid in (server.master.pid, *server.workers()):
        shown = Path(f"/proc/{pid}/environ").read_bytes()
        assert f"DATABASE_URL_FILE={secrets}".encode() in shown
        assert b"postgres://" not in shown


def test_reload_reads_secrets_again(new_server: NewServer, secrets: Path) -> None:
    """HUP reads the files again, for all workers at once."""
    server = new_server(**_settings(secrets)).start()
    (secrets / "database_url").write_text("postgres://app:two@db/app", encoding="utf-8")
    assert server.get("/imported/DATABASE_URL").body == b"postgres://app:one@db/app"
    old = server.workers()
    server.signal(signal.SIGHUP)
    wait_until(lambda: not old & server.workers(), "workers of the new configuration alone")
    assert server.get("/imported/DATABASE_URL").body == b"postgres://app:two@db/app"


def test_reload_without_a_secret_file_keeps_the_former(
    new_server: NewServer, secrets: Path
) -> None:
    """HUP while a file is missing changes nothing, and the log names the file."""
    server = new_server(**_settings(secrets)).start()
    (secrets / "database_url").unlink()
    old = server.workers()
    server.signal(signal.SIGHUP)
    wait_until(lambda: not old & server.workers(), "workers of the new configuration alone")
    assert server.get("/imported/DATABASE_URL").body == b"postgres://app:one@db/app"
    assert any("its former content counts on" in str(line) for line in server.errors())


def test_further_lines_are_earlier_keys(new_server: NewServer, tmp_path: Path) -> None:
    """The first line of SECRET_KEY_FILE signs, and the others are still accepted."""
    (tmp_path / "key").write_text("new\nold\nolder\n", encoding="utf-8")
    settings = {"SECRETS_DIR": str(tmp_path), "SECRET_KEY_FILE": f"{tmp_path}/key"}
    server = new_server(**settings).start()
    assert server.get("/imported/SECRET_KEY").body == b"new"
    assert server.get("/imported/SECRET_KEY_FALLBACKS").body == b"old\nolder\n"


def test_name_and_name_file_together_are_refused(new_server: NewServer, secrets: Path) -> None:
    """NAME and NAME_FILE together end the start: nobody could tell which counts."""
    server = new_server(DATABASE_URL="x", **_settings(secrets)).run()
    assert server.wait() == 1
    error, hint = [line["text"] for line in server.errors()]
    assert hint == "  hint: DATABASE_URL is set, too; keep one"
    assert "postgres" not in error


def test_missing_secret_file_is_refused(new_server: NewServer, secrets: Path) -> None:
    """A file that cannot be read ends the start with its name and the reason."""
    server = new_server(SECRETS_DIR=str(secrets), API_KEY_FILE=f"{secrets}/api_key").run()
    assert server.wait() == 1
    error, hint = [line["text"] for line in server.errors()]
    assert error == f"error: gunicorn.conf.py cannot use API_KEY_FILE='{secrets}/api_key'"
    assert "No such file" in hint
