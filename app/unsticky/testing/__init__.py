"""Tests by which a store shows that it keeps the promises; docs/writing-a-store.md says how.

`pytest --unsticky-store=module:factory` runs them. pytest is needed, the extra `testing`.
"""

from .places import Factory as Factory
