"""Stores of sessions, and the client through which an application may use the same server.

Another store keeps the contract `Store` (`base.py`). A subclass of `DocumentStore` only loads
documents and replaces them; what each call does to them is worked out for it (`planning.py`).
"""

from ..cookie import Reference as Reference
from ..limits import Lifetimes as Lifetimes
from .base import UNREAD as UNREAD
from .base import Add as Add
from .base import Bind as Bind
from .base import Caps as Caps
from .base import Change as Change
from .base import Check as Check
from .base import CheckNames as CheckNames
from .base import Conflicting as Conflicting
from .base import Deadline as Deadline
from .base import Destroy as Destroy
from .base import Finish as Finish
from .base import Gone as Gone
from .base import Listed as Listed
from .base import Missing as Missing
from .base import Move as Move
from .base import NotACounter as NotACounter
from .base import Operation as Operation
from .base import Record as Record
from .base import Refused as Refused
from .base import SetLimits as SetLimits
from .base import StaleStamp as StaleStamp
from .base import Store as Store
from .base import Take as Take
from .base import TooLarge as TooLarge
from .base import Unreadable as Unreadable
from .base import Wait as Wait
from .base import Write as Write
from .base import WriteOutcome as WriteOutcome
from .base import Written as Written
from .client import Client as Client
from .client import Part as Part
from .client import Script as Script
from .documents import Document as Document
from .documents import packed as packed
from .documents import unpacked as unpacked
from .memory import DocumentStore as DocumentStore
from .memory import MemoryStore as MemoryStore
from .opening import open_store as open_store
from .planning import Plan as Plan
from .redis import RedisStore as RedisStore
from .urls import client_from_url as client_from_url
from .urls import client_like as client_like
