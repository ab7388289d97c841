"""What a verb raises when it cannot do its work."""

import errno


class KitError(Exception):
    """A failure that the caller can mend.

    Args:
        problem: what is wrong, with the value.
        cure: what to do about it.
    """

    def __init__(self, problem: str, cure: str) -> None:
        """Keep both sentences; ``str()`` joins them on two lines."""
        super().__init__(f"{problem}\n{cure}")
        self.problem = problem
        self.cure = cure


def from_os_error(error: OSError) -> KitError:
    """Turn an error of the operating system into one that names its cure."""
    where = error.filename if error.filename is not None else "a file"
    problem = f"{where}: {error.strerror or error}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return KitError(
            f"No permission: {problem}.",
            "Make that place writable for you, or keep the stack elsewhere: "
            "make up STATE_DIR=/a/folder/of/yours",
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return KitError(
            f"The disk is full: {problem}.",
            "Free some space, or keep the stack on another disk: "
            "make up STATE_DIR=/another/disk/unsticky. `make down` ends what has started.",
        )
    return KitError(f"{problem}.", "`make status` shows what runs, `make down` ends it.")
