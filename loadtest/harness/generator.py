"""The load generator: Locust in a process group that does not get our Ctrl-C."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.processes import family
from loadtest.settings import LOADTEST, Plan
from loadtest.users.masking import masker

_STOP_SECONDS = 10.0


class Generator:
    """The load generator of one run."""

    def __init__(self, plan: Plan, url: str) -> None:
        self._log = Path(plan.folder) / "locust.log"
        self._processes, self._most = plan.processes, 0
        self._masked = masker(password for _, password in plan.accounts)
        command = [
            *(sys.executable, "-m", "locust", "-f", str(LOADTEST / "users" / "locustfile.py")),
            *("--headless", "--only-summary", "--host", url),
            # Failed requests are for the gate to judge.
            *("--exit-code-on-error", "0"),
        ]
        if plan.processes > 1:
            port = str(machine.free_port())
            command += ["--processes", str(plan.processes), "--master-bind-host", "127.0.0.1"]
            # The first is for the leading process, the second for the others.
            command += ["--master-bind-port", port, "--master-port", port]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=machine.environment(
                    **plan.to_environ(),
                    LOADTEST_PID=str(os.getpid()),
                    PYTHONPATH=str(machine.CHECKOUT),
                    PYTHONDONTWRITEBYTECODE="1",
                    # Locust would read ~/.locust.conf.
                    HOME=plan.folder,
                ),
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

        Locust would go on with the rest, in an open loop with less load than wanted.
        """
        if self._processes == 1:
            return False
        living = sum(map(_lives, family(self.pid)[1:]))
        # At most as many as share the load: Python starts short-lived programs, too.
        self._most = min(max(self._most, living), self._processes)
        return living < self._most

    def stop(self) -> None:
        """End it; it writes what it has so far."""
        if self.is_running():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        # Processes without their leader would go on.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def failure(self, problem: str) -> LoadTestError:
        """Return an error with the last lines of its log, secrets masked."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:]
        return LoadTestError(
            f"{problem}\n  The end of {self._log}:\n    "
            + self._masked("\n    ".join(lines or ["(nothing)"])),
            "correct the scenario",
        )


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
