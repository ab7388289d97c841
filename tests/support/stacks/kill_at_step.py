"""Kills a verb of the kit after one of its steps: a copied checkout gets it as `sitecustomize.py`.

With KILL_AT=n in the environment the verb's process ends by SIGKILL, or by the signal in KILL_BY,
once the n-th step is done: what changes a file, a process or nginx. KILL_ON names another step.
"""

import os
import signal
import sys
from types import FrameType

_STEPS = {
    "Nginx._test",
    "Nginx.record_loaded",
    "Nginx.reload",
    "Path.rename",
    "Path.replace",
    "Path.symlink_to",
    "Path.touch",
    "Releases._write",
    "StateFolder.record",
    "StateFolder.record_event",
    "Supervisor.start",
    "Supervisor.write_launcher",
    "await_ready",
    "freeze",
    "prune",
    "run",
    "write_private",
}
_CALLS = {
    "addProcessGroup",
    "reloadConfig",
    "removeProcessGroup",
    "signalProcess",
    "startProcess",
    "stopProcess",
}
if os.environ.get("KILL_ON"):
    _STEPS = {os.environ["KILL_ON"]}
_done = 0


def _count(frame: FrameType, event: str, _argument: object) -> None:
    global _done  # noqa: PLW0603  (a profile function has no other place)
    if event != "return":
        return
    name = frame.f_code.co_qualname
    if name in _STEPS or (
        name == "Supervisord.__call__" and frame.f_locals.get("method") in _CALLS
    ):
        _done += 1
        if _done == int(os.environ["KILL_AT"]):
            sys.setprofile(None)
            os.kill(os.getpid(), signal.Signals[os.environ.get("KILL_BY") or "SIGKILL"])


if os.environ.get("KILL_AT") and "kit" in sys.orig_argv:
    sys.setprofile(_count)
