"""`python -m tests.library.foreign.run [suite …]`: other projects' suites on our sessions.

Prints a table: how many tests of a suite pass on its own sessions (recorded), how many of these on
ours, and of the rest how many differ for a listed reason and how many for none. Ends with 1 if
something differs that is not listed, or is listed and differs no more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kit.console import complain, say, step
from kit.errors import KitError

from tests.support.environments import Unmade

from . import outcomes, running, suites
from .running import Sessions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; return the exit status."""
    known = suites.load()
    parser = argparse.ArgumentParser(prog="make foreign", description=(__doc__ or "").strip())
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(known)}")
    parser.add_argument(
        "--record", action="store_true", help="run on their own sessions, and record the results"
    )
    parser.add_argument("--store", default="memory://", help="where our sessions are kept: a URL")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.suites) - set(known):
        parser.error(f"no suite is called {', '.join(sorted(unknown))}")
    selected = [known[name] for name in chosen.suites or known]
    try:
        if chosen.record:
            for suite in selected:
                with step(f"{suite.name} on its own sessions"):
                    outcomes.record(suite, running.run(suite, Sessions.OWN))
        comparisons = []
        for suite in selected:
            with step(f"{suite.name} on ours"):
                comparisons.append(running.compare(suite, chosen.store))
    except (suites.ForeignError, Unmade) as error:
        complain(KitError(str(error), "See above; `make foreign` runs all suites again."))
        return 1
    return _show(comparisons)


def _show(comparisons: Sequence[outcomes.Comparison]) -> int:
    lines = [outcomes.HEADINGS, *(comparison.row() for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    found = [complaint for comparison in comparisons for complaint in comparison.complaints()]
    for complaint in found:
        say(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
