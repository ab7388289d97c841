"""`make check`: read an application, run two of its processes, and print what breaks."""

from pathlib import Path
from typing import Any

from kit.check import reading, sources
from kit.check.comparison import Comparison
from kit.check.findings import KINDS, Finding, Kind
from kit.check.processes import Target, observe
from kit.console import complain, plain, say, warn
from kit.errors import KitError

_SHOWN = 10
_LETTERS = 96
_NEED_SESSIONS = ("flask.session", "flask.flash", "flask_login", "flask_wtf")


def run(target: Target) -> None:
    """Print what breaks on many processes, and one line if nothing does.

    Raises:
        KitError: something breaks, or the application does not import.
    """
    if not target.folder.is_dir():
        raise KitError(f"APP_DIR={target.folder} is not a folder", "name the application's folder")
    try:
        facts = observe(target)
    except KitError as error:
        _show_all(examine(target, []))
        raise KitError(error.problem, *error.hints) from None
    found = examine(target, facts)
    _show_all(found)
    if broken := sum(KINDS[finding.kind].breaks for finding in found):
        raise KitError(
            f"{target.folder} breaks on many processes: {broken} place{'s'[: broken - 1]}",
            "a line that is right as it is: end it with `# check: ok`",
        )
    say(f"Nothing in {target.folder} breaks on many processes.")


def examine(target: Target, facts: list[dict[str, Any]]) -> list[Finding]:
    """Return what the code says, corrected by what the two processes show, if they ran."""
    read = sources.read(target.folder)
    if not facts:
        return reading.read(read, list(read.values()), frozenset())[0]
    chosen = read.reached_from([Path(file) for file in facts[0]["files"]])
    ran = frozenset((path, line) for path, line in facts[0]["ran"])
    found, given = reading.read(read, chosen, ran)
    meanings = {name for source in chosen for name in source.meanings.values()}
    has_sessions = any(name.startswith(_NEED_SESSIONS) for name in meanings)
    return Comparison(facts, given, target.processes, has_sessions).corrected(found)


def _show_all(found: list[Finding]) -> None:
    for key, kind in KINDS.items():
        if chosen := [finding for finding in found if finding.kind == key]:
            _show(kind, chosen)


def _show(kind: Kind, found: list[Finding]) -> None:
    lines = [f"{finding.place}{finding.what}"[:_LETTERS] for finding in found[:_SHOWN]]
    lines += [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    if kind.breaks:
        complain(KitError("\n".join((kind.title, *lines, kind.why)), *kind.hints))
    else:
        details = [*(f"         {plain(line)}" for line in (*lines, kind.why)), f"  hint: {kind.hints[0]}"]
        warn("\n".join((kind.title, *details)))
