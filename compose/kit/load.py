"""The verbs of the load test: programs in ``loadtest/`` with an environment of their own."""

import os
import sys

from kit import dotenv, environment
from kit.console import complain, say
from kit.errors import KitError, from_os_error
from kit.folder import StateFolder
from kit.settings import LOAD_NAMES, PROJECT, Settings, load

VERBS = frozenset({"loadtest", "report", "compare", "sweep"})

_NO_VERDICT = 2


def run(verb: str) -> None:
    """Go on as the program of one of these verbs: Ctrl-C and the exit code are its own.

    Raises:
        SystemExit: 2, if the program could not be started; `loadtest` then says that there is no
            verdict, as it does whenever there is none.
    """
    try:
        wanted = load()
        StateFolder(wanted.state_dir).claim()
        installed = environment.to_load(wanted)
        environment.ensure(installed)
        values = _values(wanted)
    except (KitError, OSError) as error:
        shown = from_os_error(error) if isinstance(error, OSError) else error
        complain(shown)
        if verb == "loadtest":
            say(f"VERDICT error: {shown.problem.splitlines()[0]}")
        raise SystemExit(_NO_VERDICT) from None
    command = [str(installed.python), "-m", "loadtest", verb]
    sys.stdout.flush()
    os.execve(installed.python, command, {**os.environ, **values})


def _values(wanted: Settings) -> dict[str, str]:
    """Return what the program gets beside the caller's environment."""
    from_file = dotenv.read(PROJECT / ".env")
    return {
        **{name: from_file[name] for name in LOAD_NAMES if from_file.get(name)},
        **{name: os.environ[name] for name in LOAD_NAMES if os.environ.get(name)},
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "compose"))),
        "STATE_DIR": str(wanted.state_dir),
        "VENV_DIR": str(wanted.venv_dir),
    }
