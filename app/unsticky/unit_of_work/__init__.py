"""The unit of work behind a session: it loads when first read, and sends what changed, once.

`unit` is what a request has of its session: the `changes` of its fields, and the `stored_session`.
`operations` happen at once, or are buffered in a transaction. `commit` writes.
"""

from .changes import NOTHING
from .commit import commit, remove_shown_flashes
from .lifecycle import Cookie
from .operations import operations_of
from .unit import UnitOfWork

__all__ = ["NOTHING", "Cookie", "UnitOfWork", "commit", "operations_of", "remove_shown_flashes"]
