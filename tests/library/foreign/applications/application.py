"""What is known of one application: where it comes from, how it is served, what is tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .browser import Browser

LINES = """\
from unsticky import Unsticky
Unsticky(app)
"""
"""What is added to install the library."""


class Visit(Protocol):
    """One running application, as its steps see it."""

    issuer: Path
    """The folder in which the pretended issuer keeps what it has seen."""

    def browser(self) -> Browser:
        """Return a browser that was never here."""

    def client(self, script: str) -> None:
        """Run a script in the application's own environment.

        The script finds the application as `app`, with the two lines if they are tried, and the
        port of one of its servers as `port`.

        Raises:
            Broken: the script failed; its last line is in the message.
        """


Step = Callable[[Visit], None]


@dataclass(frozen=True)
class Application:
    """See the module.

    Attributes:
        name: for the table.
        repository: owner and name on GitHub; its clone is `owner+name` below `--source`.
        folder: in the repository, where the application is.
        requirements: of the application: what pip is given.
        load: Python text that makes `app`.
        environment: what the application reads; `{work}` is a folder to write to.
        prepare: programs to run first, by their arguments, in the application's folder.
        gunicorn: more of Gunicorn's own options.
        needs_issuer: whether `issuer.pretend` is called first.
    """

    name: str
    repository: str
    requirements: Sequence[str]
    load: str
    folder: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Sequence[Sequence[str]] = ()
    gunicorn: Sequence[str] = ()
    needs_issuer: bool = False
    steps: dict[str, Step] = field(default_factory=dict)

    def step(self, name: str) -> Callable[[Step], Step]:
        """Return a decorator that adds a step."""

        def add(step: Step) -> Step:
            self.steps[name] = step
            return step

        return add

    def served(self, *, installed: bool) -> str:
        """Return the module that Gunicorn serves, with the library's two lines or without."""
        pretend = "import issuer\nissuer.pretend()\n" if self.needs_issuer else ""
        return f"{pretend}{self.load}\n{LINES if installed else ''}"
