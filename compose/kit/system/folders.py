"""Whether other users can change what the kit keeps in a folder, and later runs."""

import os
import stat
from collections.abc import Set as AbstractSet
from pathlib import Path

from kit.errors import KitError


def require_own(name: str, path: Path, checkout: Path) -> None:
    """Refuse a folder that another user made before, such as one in /tmp, or can replace.

    A folder inside the checkout is as safe as the checkout. The checkout's owner is trusted: the
    kit that runs is theirs.

    Args:
        name: the setting that names the folder.
        path: the folder, which may not exist yet.
        checkout: the kit's own.

    Raises:
        KitError: another user owns it or may write to it, or the one around it.
    """
    if checkout in path.parents:
        return
    trusted = {0, os.getuid(), checkout.stat().st_uid}
    around = next(folder for folder in path.parents if folder.exists())
    # In a sticky folder, such as /tmp, users cannot replace what others made.
    for folder, harmless in ((path, 0), (around, stat.S_ISVTX)):
        if os.path.lexists(folder) and _is_open(folder, trusted, harmless):
            raise KitError(
                f"{name}={path} is not safe: other users can change what is in {folder}",
                "name a folder of your own",
            )


def _is_open(folder: Path, trusted: AbstractSet[int], harmless: int) -> bool:
    # Who owns a link can let it lead elsewhere.
    found = folder.stat() if folder.exists() else folder.lstat()
    if not {found.st_uid, folder.lstat().st_uid} <= trusted:
        return True
    mode = found.st_mode
    return bool(mode & stat.S_IWOTH and not mode & harmless) and found.st_uid != os.getuid()
