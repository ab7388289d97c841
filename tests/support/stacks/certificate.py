"""Certificates for the tests, made as users make theirs."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.needs import need

_SCRIPT = ROOT / "compose" / "certificate.sh"


def make_certificate(folder: Path, *names: str) -> Path:
    """Make a certificate for some names, localhost by default; return its folder."""
    need(shutil.which("openssl"), "openssl is not installed")
    subprocess.run(
        ["/bin/sh", _SCRIPT, *names],
        env=os.environ | {"TLS_DIR": str(folder)},
        capture_output=True,
        check=True,
    )
    return folder
