"""`make loadtest` and `make capacity`: a program of this checkout, in its private environment."""

import os
import sys

from kit.checkout.programs import PATH
from kit.console import complain, say, warn
from kit.errors import KitError, from_os_error
from kit.settings import foreign_host, load
from kit.setup import environment
from kit.state import StateFolder

_NO_VERDICT = 2


VERBS = frozenset({"loadtest", "capacity"})


def run(verb: str) -> None:
    """Become the program of one of `VERBS`, so that Ctrl-C and the exit code are its own.

    Raises:
        SystemExit: 2, if the program cannot be started. The last line then says so.
    """
    command = ["capacity"] if verb == "capacity" else []
    word = "CAPACITY" if command else "VERDICT"
    is_run = command or not os.environ.get("ARGS", "").strip()
    try:
        settings = load()
        StateFolder(settings.state_dir).claim()
        chosen = environment.to_load(settings)
        environment.ensure(chosen)
    except (KitError, OSError) as error:
        shown = from_os_error(error) if isinstance(error, OSError) else error
        complain(shown)
        if is_run:
            say(f"{word} error: {shown.problem.splitlines()[0]}")
        raise SystemExit(_NO_VERDICT) from None
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
    command = [str(chosen.python), "-m", "loadtest", *command, *settings.arguments]
    sys.stdout.flush()
    os.execve(chosen.python, command, {**inherited, **values})
