"""Holding a request open: it arrives, waits, and goes on when the test says so."""

import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.http.wire import Answer
from tests.support.waiting import PATIENCE, wait_until


class Gate:
    """One request, held at the place where the application calls `pass_gate`.

    Args:
        folder: for the two files that the gate is made of.
        name: a gate's own.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = str(folder / name)
        self._answers: list[Answer] = []
        self._thread: threading.Thread | None = None

    def send(self, request: Callable[[], Answer]) -> None:
        """Send a request in a thread and return once it is held."""
        sending = threading.Thread(target=lambda: self._answers.append(request()), daemon=True)
        self._thread = sending
        sending.start()

        def reached() -> bool:
            arrived = Path(f"{self.path}.reached").exists()
            assert arrived or sending.is_alive(), f"answered before its gate: {self._answers}"
            return arrived

        wait_until(reached, "the request at its gate")

    def open(self) -> Answer:
        """Let the request go on and return its answer."""
        Path(f"{self.path}.open").touch()
        assert self._thread is not None
        self._thread.join(PATIENCE)
        return self._answers[0]
