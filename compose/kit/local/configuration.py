"""The configuration of supervisord."""

import re
from collections.abc import Collection, Sequence

from kit.local.services import Service
from kit.state import StateFolder
from kit.system.processes import most_files

# As many as supervisord asks for by default; it does not start with fewer than its `minfds`.
_MOST_FILES = 1024


def configuration(
    services: Sequence[Service],
    state: StateFolder,
    former: str = "",
    running: Collection[str] = (),
) -> str:
    """Return supervisord's configuration; services that run keep their sections of the former one.

    Every path except the control socket's is relative to the state folder, where supervisord
    runs, because its format would interpret ``%``, ``;`` and ``#`` in a folder's name.
    """
    head = _HEAD.format(
        socket=state.sockets / "supervisor.sock", files=min(_MOST_FILES, most_files())
    )
    sections = [head]
    kept = dict(re.findall(r"^(?=\[program:(.+)\]$)((?:.+\n)+)", former, re.MULTILINE))
    for service in services:
        name = service.name
        if name in running and name in kept:
            sections.append(kept[name])
            continue
        output = (
            f"stdout_logfile=log/{name}.access.log\nstderr_logfile=log/{name}.log"
            if service.splits_output
            else f"stdout_logfile=log/{name}.log\nredirect_stderr=true"
        )
        sections.append(_PROGRAM.format(service=service, output=output))
    return "\n".join(sections)


_HEAD = """\
[supervisord]
nodaemon=true
silent=true
umask=077
logfile=log/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=run/supervisord.pid
childlogdir=log
minfds={files}
minprocs=1

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# autostart=false: the kit starts them in order, each once the one before has answered.
# startretries: about two minutes of attempts, each a second later than the one before.
_PROGRAM = """\
[program:{service.name}]
command=run/launch {service.name}
priority={service.priority}
autostart=false
autorestart=true
startsecs=1
startretries=15
stopsignal={service.stop_signal}
stopwaitsecs={service.stop_seconds}
killasgroup=true
{output}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
stderr_logfile_maxbytes=10MB
stderr_logfile_backups=2
"""
