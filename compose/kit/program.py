"""supervisord's configuration file."""

from collections.abc import Sequence

from kit.folder import StateFolder
from kit.services import Service


def configuration(services: Sequence[Service], folder: StateFolder) -> str:
    """Return supervisord's configuration.

    Every path but the control socket's is relative to the state folder, where supervisord runs:
    this format would take ``%``, ``;`` and ``#`` in a folder's name for its own.
    """
    sections = [_HEAD.format(socket=folder.sockets / "supervisor.sock")]
    for service in services:
        output = (
            f"stdout_logfile=log/{service.name}.access.log\nstderr_logfile=log/{service.name}.log"
            if service.splits_output
            else f"stdout_logfile=log/{service.name}.log\nredirect_stderr=true"
        )
        sections.append(
            _PROGRAM.format(
                name=service.name,
                priority=service.priority,
                stop_signal=service.stop_signal,
                stop_seconds=service.stop_seconds,
                output=output,
            )
        )
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

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# autostart=false: the kit starts them in order, each once the one before has answered.
# startretries: about two minutes of tries, each a second later than the one before.
_PROGRAM = """\
[program:{name}]
command=run/launch {name}
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=15
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
killasgroup=true
{output}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
stderr_logfile_maxbytes=10MB
stderr_logfile_backups=2
"""
