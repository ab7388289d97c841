"""What the verbs need of a runtime; `kit.local` and `kit.docker` each provide one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.settings import Settings
from kit.state import StateFolder
from kit.status import Release
from kit.system.readiness import Answer


@dataclass(frozen=True, slots=True)
class Replica:
    """A Gunicorn master with its workers.

    Attributes:
        name: ``app-1`` and so on. Numbers grow while a stack runs, so no two share one.
        runs: it has a process that is not paused.
    """

    name: str
    runs: bool


class Runtime(Protocol):
    """The processes or containers of one stack. Every method raises `KitError` if it fails.

    A runtime inherits from it the methods that have nothing to do there.
    """

    settings: Settings
    state: StateFolder

    @property
    def url(self) -> str:
        """The address of the running stack."""

    def require(self) -> None:
        """Check that this machine has what the runtime needs."""
        return

    def enter(self, *, to_deploy: bool) -> None:
        """Continue in the environment for a deployment, or in that of the running stack."""

    def is_running(self) -> bool:
        """Whether the stack is started, whatever its services do."""

    def orphans(self) -> list[str]:
        """Return the services that run although nothing would restart them."""
        return []

    def services(self) -> list[str]:
        """Return the names of all services that exist."""

    def replicas(self) -> list[Replica]:
        """Return the replicas that exist, in the order of their numbers."""

    def show_status(self) -> None:
        """Print the table of services and workers."""

    def follow_logs(self, service: str | None) -> None:
        """Print the logs of one service, or of all, until interrupted."""

    def last_words(self, name: str) -> str:
        """Return the end of a service's log, since it was started."""

    def probe(self, name: str) -> Callable[[], Answer]:
        """Return a function that asks a service, from now on, whether it is ready."""

    def releases(self) -> list[Release]:
        """Return the releases that `make rollback` can go back to, and the one that serves."""

    def prepare(self, *, back: bool) -> "Deployment":
        """Make what services start from, such as a release or images. Services stay as they are.

        Args:
            back: the release before the one that serves is wanted, and no new one.
        """

    def recover(self) -> list[Replica]:
        """Undo what an interrupted verb has left, and return the replicas that serve."""

    def route(self, replicas: Sequence[Replica]) -> None:
        """Let nginx send requests to these replicas only; wait until the others have none."""

    def stop(self, replicas: Sequence[Replica]) -> None:
        """Stop replicas gracefully, all at once, and remove them."""

    def restart_service(self, name: str) -> None:
        """Stop a service and start it again as it was started before. Do not wait."""

    def shut_down(self, *, data: bool) -> list[str]:
        """Stop everything, perhaps remove the data; return the names of what ended."""

    def tidy(self) -> None:
        """Leave nothing outside the state folder if nothing runs."""
        return


class Deployment(Protocol):
    """The change of a stack to what its settings say, once all that services start from exists."""

    def change(self) -> list[str]:
        """Change what differs, and return the names of the services that came or went.

        Raises:
            KitError: a service does not become ready. The replicas that ran before go on serving.
        """

    def observe(self) -> Iterable[str]:
        """Visit the application as a browser would, and say what it meets."""

    @property
    def code(self) -> str:
        """What the replicas run: the release or the image, with its name."""

    def summary(self) -> dict[str, str]:
        """Return what `make up` prints about the stack: names and texts, in order."""
