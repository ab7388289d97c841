"""`make lint`: the checks of code, scripts and configuration."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from kit.checkout.programs import Programs
from kit.console import say
from kit.local.nginx import Nginx
from kit.settings import CHECKOUT
from kit.state import StateFolder

_YAML = "{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"
_SHELL = re.compile(rb"#!.*sh\n")
_TYPED = ("app", "compose/kit", "loadtest", "tests")


def lint(programs: Programs) -> None:
    """Run every check; the first that finds something ends it."""
    programs.module("ruff", "check", hint="`ruff check --fix` corrects some of it")
    programs.module("ruff", "format", "--check", hint="run `ruff format`")
    typed = (path for path in _TYPED if any((CHECKOUT / path).rglob("*.py")))
    programs.module("mypy", *typed, "compose/deploy")
    programs.program("lint-imports", "--cache-dir", ".state/cache/imports")
    workflows = [*CHECKOUT.glob(".github/*/*.yml"), *CHECKOUT.glob("docs/workflows/*.yml")]
    programs.program("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    programs.module("tests.docs.budgets")
    programs.program("shellcheck", "--norc", *_shell_scripts())
    programs.program("hadolint", *sorted(CHECKOUT.glob("[!.]*/**/*Dockerfile")))
    programs.program("yamllint", "--strict", "-d", _YAML, "compose")
    for worker_class in ("sync", "gthread"):
        _lint_nginx(programs, worker_class)
    say("No complaints.")


def _lint_nginx(programs: Programs, worker_class: str) -> None:
    """Let nginx and gixy read the templates, rendered for two replicas."""
    with tempfile.TemporaryDirectory(prefix="unsticky-lint-") as name:
        state = StateFolder(Path(name))
        state.create()
        settings = replace(programs.settings, worker_class=worker_class, threads=1)
        # This runs `nginx -t`.
        try:
            Nginx(settings, state, programs.environment).install(["app-1", "app-2"])
        finally:
            state.remove_sockets()
        conf = state.nginx / "conf" / "nginx.conf"
        # nginx decodes no path that stands in a variable, which this check does not know.
        skip = "--skips=proxy_pass_normalized"
        programs.program("gixy", skip, conf, hint="correct the template in nginx/")


def _shell_scripts() -> list[Path]:
    named = [path for path in CHECKOUT.glob("[!.]*/**/*") if path.suffix in {"", ".sh"}]
    scripts = [*CHECKOUT.glob(".ci/*"), *named]
    return sorted(path for path in scripts if path.is_file() and _SHELL.match(path.read_bytes()))
