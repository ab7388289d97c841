"""The rows of `make status` for a local stack."""

from kit import status
from kit.local.services import NGINX, is_replica
from kit.local.supervisor import Process
from kit.system.processes import children, memory


def row(process: Process) -> status.Service:
    """Return the row of a service, with those of its workers."""
    workers = sorted(children(process.pid)) if process.pid else []
    # As nginx's log names them; nginx itself serves every request.
    signature = "" if process.name == NGINX else None
    if serves := is_replica(process.name):
        signature = f"{process.name}/"
    return status.Service(
        name=process.name,
        pid=process.pid,
        state=process.state.lower(),
        started=process.started,
        memory=sum(map(memory, [process.pid, *workers])) if process.pid else 0,
        signature=signature,
        workers=[
            status.Worker(pid, memory(pid), f"{signature}{pid}" if serves else None)
            for pid in workers
        ],
    )
