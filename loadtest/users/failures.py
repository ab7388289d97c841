"""What can be wrong with a target, each kind by its name."""

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of failure that reports count."""

    LOST_UPDATE = "lost update"
    """A change was acknowledged, and a later answer lacks it."""
    LOST_SESSION = "lost session"
    """The session changed or ended under its user: another handle, a cookie that vanished."""
    REVIVED_SESSION = "revived session"
    """A session that was ended, by a logout for example, is there again."""
    UNBALANCED = "unbalanced"
    """A worker never appeared, or its share of the requests is off. Found at the end of a run."""
    WRONG_ANSWER = "wrong answer"
    """The answer contradicts itself or its contract in another way."""
    OVERLOAD = "overload"
    """An open loop could not begin a visit: too many that began before were not answered yet."""
    BROKEN_SCENARIO = "broken scenario"
    """The scenario's own code failed: it says nothing about the target."""


CONTINUITY = (Kind.LOST_UPDATE, Kind.LOST_SESSION, Kind.REVIVED_SESSION, Kind.UNBALANCED)
"""The kinds that a load-balanced stack must never show."""
