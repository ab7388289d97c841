"""The verbs that look at the code: they run in environments of their own."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kit import proxy, services
from kit.console import say
from kit.environment import Environment
from kit.errors import KitError
from kit.folder import StateFolder
from kit.settings import PROJECT, Settings

_GROUPS = (
    "runtime", "local", "gevent", "nginx", "valkey", "test", "lint", "bench", "load", "foreign",
    "foreign-build",
)  # fmt: skip
_YAML = "{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"
_TYPED = ("app", "compose/kit", "loadtest", "tests")


def run(verb: str, environment: Environment, settings: Settings) -> None:
    """Run one of these verbs.

    Raises:
        KitError: something was found, or a tool could not run.
    """
    match verb:
        case "test":
            _test(environment, settings)
        case "fuzz":
            _fuzz(environment)
        case "foreign":
            _foreign(environment, settings)
        case "lint":
            _lint(environment, settings)
        case "pins":
            _pin(environment)
        case _:
            _bench(environment, settings)


def _test(environment: Environment, settings: Settings) -> None:
    arguments = shlex.split(os.environ.get("ARGS", ""))
    # The stacks that tests start share the environments that are there already.
    _do(
        [environment.python, "-m", "pytest", *arguments],
        "Tests failed. Run one alone: make test ARGS='-k name -x'",
        VENV_DIR=str(settings.venv_dir),
        HYPOTHESIS_STORAGE_DIRECTORY=str(PROJECT / ".state" / "cache" / "hypothesis"),
    )


def _fuzz(environment: Environment) -> None:
    _do(
        [
            environment.python,
            "-m",
            "tests.library.contract.fuzzing",
            *shlex.split(os.environ.get("ARGS", "")),
        ],
        "Run one case alone: make fuzz ARGS='--case seed:number'",
        PYTHONPATH=str(PROJECT / "app"),
    )


def _foreign(environment: Environment, settings: Settings) -> None:
    _do(
        [
            environment.python,
            "-m",
            "tests.library.foreign.run",
            *shlex.split(os.environ.get("ARGS", "")),
        ],
        "It says above what differs.",
        PYTHONPATH=f"{PROJECT}:{PROJECT / 'compose'}",
        STATE_DIR=str(settings.state_dir),
    )


def _lint(environment: Environment, settings: Settings) -> None:
    python, cure = environment.python, "Mend what is named above."
    _do([python, "-m", "ruff", "check"], f"{cure} `ruff check --fix` mends some of it.")
    _do([python, "-m", "ruff", "format", "--check"], "Run `ruff format`.")
    typed = [path for path in _TYPED if any((PROJECT / path).rglob("*.py"))]
    _do([python, "-m", "mypy", *typed], cure)
    programs = environment.root / "bin"
    _do([programs / "shellcheck", *_shell_scripts()], cure)
    _do([programs / "hadolint", *sorted(PROJECT.glob("[!.]*/**/*Dockerfile"))], cure)
    _do([programs / "yamllint", "--strict", "-d", _YAML, "compose"], cure)
    for worker_class in ("sync", "gthread"):
        _lint_nginx(environment, settings, worker_class)
    say("Nothing to complain about.")


def _lint_nginx(environment: Environment, settings: Settings, worker_class: str) -> None:
    """Let nginx and gixy read the templates, rendered for two replicas."""
    with tempfile.TemporaryDirectory(prefix="unsticky-lint-") as name:
        folder = StateFolder(Path(name))
        folder.create()
        chosen = services.with_worker_class(settings, worker_class)
        # Rendering runs `nginx -t` before anything is put in place.
        try:
            proxy.install(chosen, folder, environment, services.replica_names(chosen))
        finally:
            folder.remove_sockets()
        main = folder.nginx / "conf" / "nginx.conf"
        _do([environment.root / "bin" / "gixy", main], "Mend the template in nginx/.")


def _bench(environment: Environment, settings: Settings) -> None:
    programs = {"NGINX_BIN": settings.nginx_bin, "REDIS_SERVER": settings.redis_server}
    _do(
        [environment.python, "-m", "loadtest", "bench", *shlex.split(os.environ.get("ARGS", ""))],
        "It says above what is wrong.",
        PYTHONPATH=f"{PROJECT}:{PROJECT / 'app'}",
        STATE_DIR=str(settings.state_dir),
        VENV_DIR=str(settings.venv_dir),
        **{name: str(path) for name, path in programs.items() if path is not None},
    )


def _pin(environment: Environment) -> None:
    for group in _GROUPS:
        constraint = [] if group == "runtime" else ["-c", "requirements/runtime.txt"]
        _compile(environment, group, *constraint)
    # With the library's own requirements, at the oldest that they allow.
    _compile(environment, "lowest", "--resolution", "lowest-direct", "pyproject.toml")
    say("requirements/ holds the newest versions; `make test` says whether they work together.")


def _compile(environment: Environment, group: str, *arguments: str) -> None:
    _do(
        [
            environment.root / "bin" / "uv", "pip", "compile", "--quiet", "--upgrade",
            "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header",
            "--no-annotate", "--group", f"pyproject.toml:{group}", *arguments,
            "--output-file", f"requirements/{group}.txt",
        ],
        "uv needs the package index.",
    )  # fmt: skip


def _do(command: Sequence[str | Path], cure: str, **env: str) -> None:
    shown = [Path(command[0]).name, *map(str, command[1:])]
    say(f"$ {shlex.join(shown)}")
    done = subprocess.run(command, check=False, cwd=PROJECT, env={**os.environ, **env})
    if done.returncode:
        raise KitError(f"{shlex.join(shown)} failed ({done.returncode}).", cure)


def _shell_scripts() -> list[Path]:
    named = [path for path in PROJECT.glob("[!.]*/**/*") if path.suffix in {"", ".sh"}]
    scripts = [*PROJECT.glob(".ci/*"), *named]
    return sorted(path for path in scripts if path.is_file() and path.read_bytes()[:2] == b"#!")
