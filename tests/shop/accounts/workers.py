"""Gunicorn with workers that die on request."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.library.security.browser import to_socket
from tests.shop.accounts.visitors import Visitor
from tests.support.checkout import ROOT

_ROOT = ROOT
_PATIENCE = 30.0


class Workers:
    """Three workers of the shop on a unix socket; those that die are replaced.

    Args:
        store: URL of the store.
        folder: An empty folder with a short path.
        secret: The shop's secret key.
    """

    def __init__(self, store: str, folder: Path, secret: str) -> None:
        self._log = folder / "log"
        self._socket = folder / "app"
        environment = {
            "APP": "tests.shop.accounts.mortal:create_app()",
            "BIND": f"unix:{self._socket}",
            "WORKERS": "3",
            "REPLICA": "app-1",
            "REDIS_URL": store,
            "SECRET_KEY": secret,
            "SHOP_DEMO": "1",
            "PYTHONPATH": f"{_ROOT / 'app'}:{_ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", str(_ROOT / "app/gunicorn.conf.py")],
                cwd=folder,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def visit(self) -> Visitor:
        """Return a visitor without a cookie."""
        return Visitor(to_socket(self._socket))

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def _answers(self) -> bool:
        try:
            return self.visit().get("/livez").status == 200
        except OSError:
            return False
