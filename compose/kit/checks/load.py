"""The verbs of the load tests: programs of `loadtest/`, in their private environment."""

import os
import sys

from kit.checks.programs import PATH
from kit.console import complain, say, warn
from kit.errors import KitError, from_os_error
from kit.settings import foreign_host, load
from kit.setup import environment
from kit.state import StateFolder

VERBS = frozenset({"loadtest", "compare", "sweep"})
_NO_VERDICT = 2


def run(verb: str) -> None:
    """Become the program of one of `VERBS`, so that Ctrl-C and the exit code are its own.

    Raises:
        SystemExit: 2, if the program cannot be started. `loadtest` then says that there is no
            verdict, as it does in each such case.
    """
    try:
        settings = load()
        StateFolder(settings.state_dir).claim()
        chosen = environment.to_load(settings)
        environment.ensure(chosen)
    except (KitError, OSError) as error:
        shown = from_os_error(error) if isinstance(error, OSError) else error
        complain(shown)
        if verb == "loadtest":
            say(f"VERDICT error: {shown.problem.splitlines()[0]}")
        raise SystemExit(_NO_VERDICT) from None
    if verb == "loadtest" and settings.arguments == ("report",):
        verb = "report"
    inherited = dict(os.environ)
    if host := foreign_host():
        warn(f"HOST={host} of the environment is no address, so it does not count")
        del inherited["HOST"]
    values = {
        **settings.load,
        "PYTHONPATH": PATH,
        "STATE_DIR": str(settings.state_dir),
        "VENV_DIR": str(settings.venv_dir),
    }
    command = [str(chosen.python), "-m", "loadtest", verb]
    sys.stdout.flush()
    os.execve(chosen.python, command, {**inherited, **values})
