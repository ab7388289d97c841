"""The one interface of the verbs, and the choice of who carries them out."""

from typing import Protocol

from kit.docker import DockerRuntime
from kit.local import LocalRuntime
from kit.settings import Settings


class Runtime(Protocol):
    """Runs a stack. Every method raises :class:`~kit.errors.KitError` if it cannot."""

    def up(self) -> None:
        """Make the stack what the settings say, with as little restarting as possible."""

    def down(self) -> None:
        """End everything; the store's data stays."""

    def restart(self, service: str | None) -> None:
        """Restart one service, or the replicas one after the other."""

    def status(self) -> None:
        """Print what runs."""

    def logs(self, service: str | None) -> None:
        """Follow the logs of one service, or of all, until interrupted."""

    def open(self) -> None:
        """Print where the stack answers, and show it in a browser."""

    def clean(self) -> None:
        """End everything and remove all that was made, data included."""


def choose(settings: Settings) -> Runtime:
    """Return the runtime that the settings name."""
    return DockerRuntime(settings) if settings.runtime == "docker" else LocalRuntime(settings)
