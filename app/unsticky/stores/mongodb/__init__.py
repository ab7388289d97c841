"""Sessions in MongoDB: a change that was answered survives a fail-over."""

from .store import MongoStore as MongoStore
