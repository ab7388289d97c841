"""`python -m tests.docs.budgets`: how large folders and files are, and what is too large.

`make lint` prints the result. It warns and never fails: a reviewer decides whether a file holds two
ideas. What may exceed a limit is listed here with its reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.checkout import ROOT

PRODUCT: Final = ("app", "compose", "loadtest")
MODULES: Final = 12
"""Python modules in a folder, at most."""
LINES: Final = 300
"""Lines in a file of the product, at most."""

_LARGER_FOLDERS: Final = {
    # As many as Flask itself has: the library is one package that users copy as a whole.
    "app/unsticky": 24,
    # One module for each kind of store, and what they share.
    "app/unsticky/stores": 13,
    # As for tests: they are found by their names.
    "app/unsticky/testing/contract": 14,
}
_LARGER_FILES: Final = {
    # More than half of these two is docstrings and blank lines.
    "app/unsticky/session.py": "the class that views use: each method says what it promises",
    "app/unsticky/stores/base.py": "the contract of stores: its comments are the contract",
    "app/unsticky/stores/cluster/routing.py": "one call and its way: few lines can be read alone",
    "app/unsticky/stores/cluster/store.py": "the steps of a call that spans slots belong together",
    "app/unsticky/stores/client.py": "one class: when a call is sent again, what its errors mean",
    "app/unsticky/stores/redis.py": "one store: calls and replies of the scripts belong together",
    "app/unsticky/unit_of_work/changes.py": "one value: what a request read and wrote",
    "app/unsticky/unit_of_work/stored_session.py": "one request and its calls to the store",
    "app/unsticky/unit_of_work/unit.py": "what the package's other modules and the session share",
    "compose/kit/settings.py": "a line for each setting; .env.example has the same order",
    "app/unsticky_gunicorn.py": "one module to copy beside gunicorn.conf.py",
    "app/unsticky_metrics.py": "the same",
}


def modules(*parts: str) -> Iterator[Path]:
    """Yield every Python file of these folders of the checkout."""
    for part in parts:
        yield from sorted((ROOT / part).rglob("*.py"))


def warnings() -> list[str]:
    """Return a line for each folder and each file that is too large."""
    found = []
    files = list(modules(*PRODUCT, "tests"))
    for folder in sorted({path.parent for path in files}):
        name = folder.relative_to(ROOT).as_posix()
        count = sum(path.parent == folder and path.name != "__init__.py" for path in files)
        most = _LARGER_FOLDERS.get(name, MODULES)
        # Tests are found by their names, not by reading the folder.
        if count > most and not name.startswith("tests/"):
            found.append(f"{name}: {count} modules, more than {most}")
    for path in modules(*PRODUCT):
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LINES and name not in _LARGER_FILES:
            found.append(f"{name}: {lines} lines, more than {LINES}")
    return found


def main() -> None:
    """Print the warnings."""
    for warning in warnings():
        print(f"warning: {warning}")


if __name__ == "__main__":
    main()
