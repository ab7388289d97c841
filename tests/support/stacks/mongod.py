"""A program with mongod's options that starts the tests' server, which has others."""

import sys
from pathlib import Path

_PROGRAM = """\
#!{python}
import argparse, os
parser = argparse.ArgumentParser()
for name in ("--dbpath", "--replSet", "--keyFile", "--bind_ip", "--port"):
    parser.add_argument(name, required=True)
parser.add_argument("--nounixsocket", action="store_true", required=True)
parser.add_argument("--wiredTigerCacheSizeGB", type=float)
parser.add_argument("--setParameter", action="append")
given = parser.parse_args()
assert given.bind_ip == "127.0.0.1"
assert os.stat(given.keyFile).st_mode & 0o077 == 0, "the key file is open to others"
assert os.path.isdir(given.dbpath), "the data folder is missing"
os.execv({server!r}, [{server!r}, "--port", given.port, "--storage-path", given.dbpath])
"""


def stand_in(folder: Path) -> Path:
    """Write the program to a folder; its replica set has begun, and it asks for no login."""
    path = folder / "mongod"
    server = str(Path(sys.executable).with_name("secantusd-py"))
    path.write_text(_PROGRAM.format(python=sys.executable, server=server), encoding="utf-8")
    path.chmod(0o755)
    return path
