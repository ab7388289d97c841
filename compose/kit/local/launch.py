"""Become one service: take its lock, then replace this process by the service.

supervisord runs a copy of this file in the state folder, because the checkout may move or change.
The interpreter is isolated, and the only argument is a file that describes the service:
``{"argv", "env", "cwd", "lock"}``. The service and its children inherit the
lock. So it shows that the service exists as long as one of them lives, even if supervisord was
killed, and a second store never opens the same data.
"""

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

# supervisord closes every inherited descriptor from 5 on when it starts.
_DESCRIPTOR = 3
# Seconds until the former processes of the service are killed, and until this one gives up.
_KILL_SECONDS = 3.0
_GIVE_UP_SECONDS = 10.0


def main() -> None:
    """Take the lock and execute the service; exit 1 if its former processes do not end."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lock = os.open(spec["lock"], os.O_RDWR | os.O_CREAT, 0o600)
    if not _take(lock):
        sys.exit(f"{spec['lock']}: a former process of this service does not end")
    if lock != _DESCRIPTOR:
        os.dup2(lock, _DESCRIPTOR)
        os.close(lock)
    os.set_inheritable(_DESCRIPTOR, True)
    os.ftruncate(_DESCRIPTOR, 0)
    os.pwrite(_DESCRIPTOR, str(os.getpid()).encode(), 0)
    os.chdir(spec["cwd"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])


def _take(lock: int) -> bool:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        else:
            return True
        if waited > _GIVE_UP_SECONDS:
            return False
        if waited > _KILL_SECONDS:
            # A master killed with -9 leaves workers that keep its listener: kill its group.
            with suppress(ValueError, ProcessLookupError):
                os.killpg(int(os.pread(lock, 32, 0)), signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
