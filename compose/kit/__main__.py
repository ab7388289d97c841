"""``python -m kit <verb>``, which the Makefile calls.

It starts in the caller's Python with nothing but the standard library. Verbs that need more
continue inside the private environment (`kit.setup.environment.enter`).
"""

import io
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

_FAILED = 1
_INTERRUPTED = 128 + signal.SIGINT


def main(verb: str) -> int:
    """Run one verb and return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # The terminal has gone. With nohup, the verb goes on.
        signal.signal(signal.SIGHUP, _interrupt)
    # Whatever it was: the caller can use what this makes, and others cannot write to it.
    os.umask((os.umask(0) | 0o022) & 0o077)
    for stream in (sys.stdout, sys.stderr):
        # A locale without UTF-8 must not turn a message into a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(verb)
    except KeyboardInterrupt:
        if verb == "logs":
            return 0
        with suppress(OSError):
            print("\nInterrupted. `make status` shows what runs, `make down` stops it.", flush=True)
        return _INTERRUPTED


def _run(verb: str) -> int:
    # Imported late, so that Ctrl-C in the first moments prints no traceback.
    from kit import verbs
    from kit.console import complain
    from kit.errors import KitError, from_os_error

    try:
        verbs.run(verb)
    except KitError as error:
        complain(error)
        return _FAILED
    except BrokenPipeError:
        # `make logs | head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(from_os_error(error))
        return _FAILED
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
