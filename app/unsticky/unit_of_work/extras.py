"""What a request changed of its session beside the fields, for the next commit to write."""

from __future__ import annotations

from dataclasses import dataclass

from ..stores.base import Change, SetLimits
from .lifecycle import Rotation


@dataclass(slots=True)
class Extras:
    """What the next commit writes beside the fields.

    Attributes:
        permanent: what the view set; None if it did not.
        limits: the session's own limits; None if they stay.
        rotation: the new id that the session gets; None if it keeps its id.
        removed: fields that a logout deletes, even if another request has just set them.
        end: the session ends before the commit, and what was set since starts a new one. The
            changes are what must still hold then. None if the session does not end.
        emptied: something was removed, so that the session may be empty.
    """

    permanent: bool | None = None
    limits: SetLimits | None = None
    rotation: Rotation | None = None
    removed: tuple[bytes, ...] = ()
    end: tuple[Change, ...] | None = None
    emptied: bool = False

    def is_idle(self) -> bool:
        """Return whether there is nothing to write."""
        return (
            self.permanent is None
            and self.limits is None
            and self.rotation is None
            and self.end is None
            and not self.emptied
        )
