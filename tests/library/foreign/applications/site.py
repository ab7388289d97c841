"""An application that runs: two Gunicorn processes with two workers each, on loopback."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

from . import issuer
from .application import Application
from .browser import Broken, Browser

PROCESSES = 2
WORKERS = 2
START_SECONDS = 30.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Surroundings:
    """What an application runs on.

    Attributes:
        kind: `unsticky`, or `flask` for the application's own sessions.
        source: the application's folder.
        python: of the application's environment.
        library: a checkout of this project.
        store: the URL of the store.
    """

    kind: str
    source: Path
    python: Path
    library: Path
    store: str


class Site:
    """See the module."""

    def __init__(self, application: Application, given: Surroundings) -> None:
        self._application = application
        self._python = str(given.python)
        self._holder = tempfile.TemporaryDirectory(prefix="s-")
        self._work = Path(self._holder.name)
        self._source = self._work / "source"
        shutil.copytree(given.source, self._source)
        self.issuer = self._work / "issuer"
        self._log = self._work / "log"
        self._read_from = 0
        self._ports: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        (self._work / "served").mkdir()
        (self._work / "served" / "served.py").write_text(
            application.served(installed=given.kind == "unsticky")
        )
        shutil.copy(Path(issuer.__file__), self._work / "served")
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{self._work / 'served'}:{self._source}:{given.library / 'app'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "UNSTICKY_STORE": given.store,
            "ISSUER_DIR": str(self.issuer),
            **{
                name: value.replace("{work}", str(self._work))
                for name, value in application.environment.items()
            },
        }

    def start(self) -> None:
        """Prepare the application and run it.

        Raises:
            Broken: it does not start; what it said is in the message.
        """
        if self._application.needs_issuer:
            self.issuer.mkdir()
            self._run(
                "-c",
                f"import issuer, pathlib; issuer.create_key(pathlib.Path({str(self.issuer)!r}))",
            )
        for command in self._application.prepare:
            self._run(*command)
        for _ in range(PROCESSES):
            self._ports.append(free_port())
            command = [
                self._python, "-m", "gunicorn", "served:app", "--workers", str(WORKERS),
                "--bind", f"127.0.0.1:{self._ports[-1]}", "--timeout", "60",
                *self._application.gunicorn,
            ]  # fmt: skip
            with self._log.open("ab") as log:
                self._processes.append(
                    subprocess.Popen(
                        command, cwd=self._source, env=self._environment, stdout=log, stderr=log
                    )
                )
        for port, process in zip(self._ports, self._processes, strict=True):
            self._await(port, process)

    def browser(self) -> Browser:
        """See `Visit.browser`."""
        return Browser(self._ports)

    def client(self, script: str) -> None:
        """See `Visit.client`."""
        self._run("-c", f"from served import app\nport = {self._ports[0]}\n{script}")

    def forget_log(self) -> None:
        """Let `last_error` look only at what is logged from now on."""
        self._read_from = self._log.stat().st_size

    def last_error(self) -> str:
        """Return the last exception in the log with the line of the library it came from."""
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._read_from)
            text = log.read()
        places = re.findall(r'File "[^"]*/(unsticky/[^"]*)", line (\d+)', text)
        errors = re.findall(
            r"^\w[\w.]*(?:Error|Exception|Conflict|Gone|Unserializable)\b.*", text, re.MULTILINE
        )
        at = f" at {places[-1][0]}:{places[-1][1]}" if places else ""
        return f" [{errors[-1][:200]}{at}]" if errors else at

    def close(self) -> None:
        """End what was started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._holder.cleanup()

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._python, *arguments], cwd=self._source, env=self._environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            places = re.findall(
                r'File "[^"]*/((?:unsticky/[^"]*)|<string>)", line (\d+)', done.stderr
            )
            at = f" at {places[-1][0]}:{places[-1][1]}" if places else ""
            raise Broken(f"{last[0][:300]}{at}")

    def _await(self, port: int, process: subprocess.Popen[bytes]) -> None:
        """Wait for an answer: Gunicorn listens before its workers have loaded the application."""
        end = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            try:
                Browser([port]).get("/", refused=True)
            except Broken:
                time.sleep(0.1)
            else:
                return
        raise Broken(f"it does not start{self.last_error()}")
