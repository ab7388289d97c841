"""Which verb calls what."""

import os
import sys

from kit import environment, load, runtime, settings
from kit.errors import KitError

_CHECKS = frozenset(
    {
        "test",
        "fuzz",
        "foreign",
        "lint",
        "pins",
        "bench",
        "bench-race",
        "bench-page",
        "bench-session",
    }
)


def run(verb: str) -> None:
    """Carry out one verb.

    Raises:
        KitError: it could not be done.
    """
    if sys.platform == "win32":
        raise KitError("The local runtime needs Linux or macOS.", "Use WSL 2 on Windows.")
    if verb in load.VERBS:
        load.run(verb)
    wanted = settings.load()
    if verb in _CHECKS:
        environment.check_with(verb, wanted)
        return
    _run_on_stack(verb, runtime.choose(wanted))


def _run_on_stack(verb: str, stack: runtime.Runtime) -> None:
    service = os.environ.get("SERVICE") or None
    match verb:
        case "up":
            stack.up()
        case "down":
            stack.down()
        case "restart":
            stack.restart(service)
        case "status":
            stack.status()
        case "logs":
            stack.logs(service)
        case "open":
            stack.open()
        case "clean":
            stack.clean()
        case _:
            raise KitError(f"There is no verb {verb!r}.", "`make` alone prints all of them.")
