"""Locust as a child process, in a session of its own: Ctrl-C is for us to pass on."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from runs.errors import RunError
from runs.options import LOADTEST
from runs.plan import Plan
from runs.stack import children

_STOP_SECONDS = 10.0


class Generator:
    """The load generator of one run."""

    def __init__(self, plan: Plan, url: str) -> None:
        self._log = Path(plan.folder) / "locust.log"
        self._processes, self._most = plan.processes, 0
        command = [
            *(sys.executable, "-m", "locust", "-f", str(LOADTEST / "visits" / "entry.py")),
            *("--headless", "--only-summary", "--host", url),
            # Failed requests are for the gate to judge.
            *("--exit-code-on-error", "0"),
        ]
        if plan.processes > 1:
            port = str(_free_port())
            command += ["--processes", str(plan.processes), "--master-bind-host", "127.0.0.1"]
            # The one for the process that leads, the other for those that follow it.
            command += ["--master-bind-port", port, "--master-port", port]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **plan.to_environ(),
                    "PYTHONPATH": str(LOADTEST),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of its first process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def has_lost_a_process(self) -> bool:
        """Whether one of the processes that share the load has ended before the others.

        Locust would go on with the rest: in an open loop, with less load than it says.
        """
        if self._processes == 1:
            return False
        living = sum(map(_lives, children(self.pid)))
        # Never more than share the load: Python asks short-lived programs about the platform.
        self._most = min(max(self._most, living), self._processes)
        return living < self._most

    def stop(self) -> None:
        """End it, with what it has written so far."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.is_running():
                if number == signal.SIGTERM:
                    self._process.terminate()
                else:
                    os.killpg(self._process.pid, number)
                try:
                    self._process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        # Processes that lost their leader would go on.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def failure(self, problem: str) -> RunError:
        """Return an error with the last words of its log."""
        words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:]
        return RunError(
            f"{problem} Its last words:\n  " + "\n  ".join(words or ["(nothing)"]),
            f"Mend the scenario, or see {self._log}.",
        )


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
