"""`make check`: read an application, run two of its processes, and print what breaks."""

from collections.abc import Sequence
from pathlib import Path

from kit.check import reading, sources
from kit.check.comparison import Comparison
from kit.check.findings import KINDS, Finding
from kit.check.processes import Facts, Target, observe
from kit.console import complain, say, warn
from kit.errors import KitError

_SHOWN = 10
_LETTERS = 96
_NEED_SECRET = ("flask.session", "flask.flash", "flask_login", "flask_wtf")


def run(target: Target) -> None:
    """Print what breaks on many processes, and one line if nothing does.

    Raises:
        KitError: something breaks, or the application does not import.
    """
    if not target.folder.is_dir():
        raise KitError(f"APP_DIR={target.folder} is not a folder", "name the application's folder")
    try:
        facts = observe(target)
    except KitError:
        _show(examine(target, []))
        raise
    found = examine(target, facts)
    _show(found)
    if broken := sum(KINDS[finding.kind].breaks for finding in found):
        raise KitError(
            f"{target.folder} breaks on many processes: {broken} finding{'s'[: broken - 1]}",
            "if a line is right as it is, end it with `# check: ok`",
        )
    say(f"Nothing in {target.folder} breaks on many processes.")


def examine(target: Target, facts: Sequence[Facts]) -> list[Finding]:
    """Return what the code says, corrected by what two processes are, if they ran."""
    read = sources.read(target.folder)
    if not facts:
        return reading.read(read, list(read.values()), frozenset())[0]
    chosen = read.reached_from({Path(file) for file in facts[0]["files"]})
    ran = frozenset((path, line) for path, line in facts[0]["ran"])
    found, given = reading.read(read, chosen, ran)
    names = {name for source in chosen for name in source.meanings.values()}
    needs_secret = any(name.startswith(_NEED_SECRET) for name in names)
    return Comparison(facts, given, target.processes, needs_secret).corrected(found)


def _show(found: Sequence[Finding]) -> None:
    for key, kind in KINDS.items():
        lines = [
            (f"{finding.path}:{finding.line}: " if finding.path else "") + finding.what
            for finding in found
            if finding.kind == key
        ]
        if lines:
            shown = [line[:_LETTERS] for line in lines[:_SHOWN]]
            shown += [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            text = "\n".join((kind.title, *shown, kind.why))
            if kind.breaks:
                complain(KitError(text, kind.hint))
            else:
                warn(text.replace("\n", "\n       ") + f"\n  hint: {kind.hint}")
