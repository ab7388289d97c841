"""``python -m kit <verb>``: what the Makefile calls.

It starts in the caller's own Python with nothing but the standard library. Verbs that need more
go on inside the private environment (:func:`kit.environment.enter`).
"""

import io
import os
import signal
import sys
from types import FrameType

_FAILED = 1
_INTERRUPTED = 128 + signal.SIGINT


def main(verb: str) -> int:
    """Run one verb and return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # An older locale than UTF-8 must not turn a message into a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(verb)
    except KeyboardInterrupt:
        if verb == "logs":
            return 0
        print("\nInterrupted. `make status` shows what runs, `make down` ends it.", flush=True)
        return _INTERRUPTED


def _run(verb: str) -> int:
    # Imported late, so that Ctrl-C in the first moments is no traceback either.
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
