"""Certificates for the tests, made as users make theirs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

_SCRIPT = ROOT / "compose" / "certificate.sh"


def make_certificate(folder: Path, *names: str) -> Path:
    """Make a certificate for some names, localhost by default; return its folder."""
    if shutil.which("openssl") is None:
        assert os.environ.get("CI") != "true", "openssl is missing, and CI=true"
        pytest.skip("the command openssl is missing")
    subprocess.run(
        ["/bin/sh", _SCRIPT, *names],
        env=os.environ | {"TLS_DIR": str(folder)},
        capture_output=True,
        check=True,
    )
    return folder
