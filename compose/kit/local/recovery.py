"""What the next verb makes of a stack whose last verb was killed."""

import time
from collections.abc import Sequence

from kit.console import warn
from kit.local.nginx import Nginx
from kit.local.releases import Releases
from kit.local.supervisor import Supervisor
from kit.runtime import Replica, Runtime
from kit.system import readiness

_ENDED = {"STOPPED", "FATAL", "EXITED"}


def recover(
    runtime: Runtime, supervisor: Supervisor, nginx: Nginx, releases: Releases
) -> list[Replica]:
    """Undo what an interrupted verb has left, and return the replicas that serve.

    If nginx uses a replica that the last finished verb has left, all of those replicas serve again.
    If it uses none of them, the interrupted deployment had gone so far that its replicas stay.
    """
    existing, used = runtime.replicas(), nginx.used()
    listed = [each for each in existing if each.name in used]
    digests = {each.settings for each in releases.served()[:1]}
    established = [each for each in existing if supervisor.digest(each.name) in digests]
    if not {*established}.isdisjoint(listed):
        serving = established
    else:
        serving = listed or [each for each in existing if each.runs]
    if serving:
        _start_ended(runtime, supervisor, serving)
        runtime.route(serving)
    runtime.stop([each for each in existing if each not in serving])
    names = {each.name for each in serving}
    return [each for each in runtime.replicas() if each.name in names]


def _start_ended(runtime: Runtime, supervisor: Supervisor, replicas: Sequence[Replica]) -> None:
    """Start what an interrupted restart has stopped, and wait a while."""
    found = supervisor.processes()
    for name in (each.name for each in replicas if found[each.name].state in _ENDED):
        supervisor.start_again(name)
        end = time.monotonic() + runtime.settings.ready_timeout
        if not (answer := readiness.wait(runtime.probe(name), end)).is_ready:
            # The verb goes on: it may be what brings a better replica.
            warn(f"{name} was started again, and is not ready: {answer.problem}")
