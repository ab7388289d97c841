"""The verbs that check, measure and load: programs of this checkout, in private environments."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kit import dotenv
from kit.console import complain, say, warn
from kit.errors import KitError, from_os_error
from kit.local.nginx import Nginx
from kit.settings import CHECKOUT, LOAD_NAMES, Settings, is_typed, load
from kit.setup import environment
from kit.setup.environment import Environment
from kit.state import StateFolder

VERBS = frozenset({"test", "fuzz", "foreign", "lint", "pins", "bench"})
LOAD_VERBS = frozenset({"loadtest", "compare", "sweep"})

_GROUPS = (
    "runtime", "local", "gevent", "nginx", "valkey", "test", "lint", "bench", "load", "foreign",
    "foreign-build",
)  # fmt: skip
_YAML = "{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"
_TYPED = ("app", "compose/kit", "loadtest", "tests")
# Programs that take ARGS, and a hint if they fail.
_PROGRAMS = {
    "test": ("pytest", "run one test: make test ARGS='-k name -x'"),
    "fuzz": ("tests.library.contract.fuzzing", "run one: make fuzz ARGS='--case seed:number'"),
    "foreign": ("tests.library.foreign.run", "run one suite: make foreign ARGS=name"),
}
# The whole suite runs in several processes; `tests/conftest.py` says which tests stay together.
_WHOLE_SUITE = ("-n", "3")
_PATH = os.pathsep.join(str(CHECKOUT / part) for part in (".", "app", "compose"))
_NO_VERDICT = 2


def run(verb: str, settings: Settings) -> None:
    """Run one of `VERBS`.

    Raises:
        KitError: it finds something, or a tool cannot run.
    """
    chosen = environment.to_bench(settings) if verb == "bench" else environment.to_check(settings)
    StateFolder(settings.state_dir).claim()
    environment.ensure(chosen)
    environment.enter(chosen)
    _Checks(chosen, settings).run(verb)


def load_test(verb: str) -> None:
    """Become the program of one of `LOAD_VERBS`, so that Ctrl-C and the exit code are its own.

    Raises:
        SystemExit: 2, if the program cannot be started. `loadtest` then says that there is no
            verdict, as it does in each such case.
    """
    if verb == "loadtest" and _arguments() == ["report"]:
        verb = "report"
    try:
        settings = load()
        StateFolder(settings.state_dir).claim()
        chosen = environment.to_load(settings)
        environment.ensure(chosen)
        from_file = dotenv.read(CHECKOUT / ".env")
        given = _given()
    except (KitError, OSError) as error:
        shown = from_os_error(error) if isinstance(error, OSError) else error
        complain(shown)
        if verb == "loadtest":
            say(f"VERDICT error: {shown.problem.splitlines()[0]}")
        raise SystemExit(_NO_VERDICT) from None
    values = {
        **{name: from_file[name] for name in LOAD_NAMES if from_file.get(name)},
        **{name: given[name] for name in LOAD_NAMES if given.get(name)},
        "PYTHONPATH": _PATH,
        "STATE_DIR": str(settings.state_dir),
        "VENV_DIR": str(settings.venv_dir),
    }
    command = [str(chosen.python), "-m", "loadtest", verb]
    sys.stdout.flush()
    os.execve(chosen.python, command, {**given, **values})


def _given() -> dict[str, str]:
    """Return the environment. HOST counts only if it is an address, or was typed as one.

    conda and csh set it to the name of the machine.
    """
    given = dict(os.environ)
    host = given.get("HOST", "")
    if host and "://" not in host and not is_typed("HOST"):
        warn(f"HOST={host} of the environment is no address, so it does not count")
        del given["HOST"]
    return given


class _Checks:
    """The programs of one environment."""

    def __init__(self, chosen: Environment, settings: Settings) -> None:
        self._environment, self._settings = chosen, settings

    def run(self, verb: str) -> None:
        if verb == "lint":
            self._lint()
        elif verb == "pins":
            self._pin()
        elif verb == "bench":
            self._python("loadtest", ["bench", *_arguments()])
        else:
            module, hint = _PROGRAMS[verb]
            whole = _WHOLE_SUITE if verb == "test" else ()
            self._python(module, _arguments() or whole, hint)

    def _lint(self) -> None:
        self._python("ruff", ["check"], "`ruff check --fix` corrects some of it")
        self._python("ruff", ["format", "--check"], "run `ruff format`")
        self._python("mypy", [path for path in _TYPED if any((CHECKOUT / path).rglob("*.py"))])
        self._program("lint-imports", ["--cache-dir", ".state/cache/imports"])
        self._program(
            "check-jsonschema",
            [
                "--builtin-schema",
                "vendor.github-workflows",
                *CHECKOUT.glob(".github/*/*.yml"),
                *CHECKOUT.glob("docs/workflows/*.yml"),
            ],
        )
        self._python("tests.docs.budgets", [])
        self._program("shellcheck", _shell_scripts())
        self._program("hadolint", sorted(CHECKOUT.glob("[!.]*/**/*Dockerfile")))
        self._program("yamllint", ["--strict", "-d", _YAML, "compose"])
        for worker_class in ("sync", "gthread"):
            self._lint_nginx(worker_class)
        say("No complaints.")

    def _lint_nginx(self, worker_class: str) -> None:
        """Let nginx and gixy read the templates, rendered for two replicas."""
        with tempfile.TemporaryDirectory(prefix="unsticky-lint-") as name:
            state = StateFolder(Path(name))
            state.create()
            settings = self._settings.with_worker_class(worker_class)
            # This runs `nginx -t`.
            try:
                Nginx(settings, state, self._environment).install(["app-1", "app-2"])
            finally:
                state.remove_sockets()
            conf = state.nginx / "conf" / "nginx.conf"
            self._program("gixy", [conf], "correct the template in nginx/")

    def _pin(self) -> None:
        for group in _GROUPS:
            constraint = [] if group == "runtime" else ["-c", "requirements/runtime.txt"]
            self._compile(group, *constraint)
        # With the library's own requirements, at the oldest versions that they allow.
        self._compile("lowest", "--resolution", "lowest-direct", "pyproject.toml")
        say("requirements/ has the newest versions; `make test` shows whether they fit together.")

    def _compile(self, group: str, *arguments: str) -> None:
        self._program(
            "uv",
            [
                "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11",
                "--generate-hashes", "--no-header", "--no-annotate",
                "--group", f"pyproject.toml:{group}", *arguments,
                "--output-file", f"requirements/{group}.txt",
            ],
            "uv needs the package index",
        )  # fmt: skip

    def _python(self, module: str, arguments: Sequence[str | Path], *hints: str) -> None:
        s = self._settings
        programs = {"NGINX_BIN": s.nginx_bin, "REDIS_SERVER": s.redis_server}
        env = {
            "PYTHONPATH": _PATH,
            # Stacks and servers that the program starts use the environments that exist.
            "STATE_DIR": str(s.state_dir),
            "VENV_DIR": str(s.venv_dir),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(CHECKOUT / ".state" / "cache" / "hypothesis"),
            **{name: str(path) for name, path in programs.items() if path is not None},
        }
        _do([self._environment.python, "-m", module, *arguments], *hints, **env)

    def _program(self, name: str, arguments: Sequence[str | Path], *hints: str) -> None:
        _do([self._environment.root / "bin" / name, *arguments], *hints, PYTHONPATH=_PATH)


def _arguments() -> list[str]:
    return shlex.split(os.environ.get("ARGS", ""))


def _do(command: Sequence[str | Path], *hints: str, **env: str) -> None:
    shown = shlex.join([Path(command[0]).name, *map(str, command[1:])])
    say(f"$ {shown}")
    done = subprocess.run(command, check=False, cwd=CHECKOUT, env={**os.environ, **env})
    if done.returncode:
        raise KitError(f"{shown} failed ({done.returncode})", *hints)


def _shell_scripts() -> list[Path]:
    named = [path for path in CHECKOUT.glob("[!.]*/**/*") if path.suffix in {"", ".sh"}]
    scripts = [*CHECKOUT.glob(".ci/*"), *named]
    return sorted(path for path in scripts if path.is_file() and path.read_bytes()[:2] == b"#!")
