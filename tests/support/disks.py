"""Disks: one in memory, and one that is soon full."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_IN_MEMORY = Path("/dev") / "shm"
FAST: str | None = str(_IN_MEMORY) if _IN_MEMORY.is_dir() else None
"""A folder where a sync costs nothing, for tests that cut no power; None if there is none."""


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """Mount a disk of so many KiB, which only root may do."""
    folder = tempfile.mkdtemp(prefix="disk-")
    options = ("-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0700", "none", folder)
    mount = shutil.which("mount") if os.geteuid() == 0 else None
    if not mount or subprocess.call([mount, *options], stderr=subprocess.DEVNULL):
        Path(folder).rmdir()
        pytest.skip("not run: this machine does not let the test mount a small disk")
    yield Path(folder)
    subprocess.run([shutil.which("umount") or "umount", "-l", folder], check=True)
    Path(folder).rmdir()
