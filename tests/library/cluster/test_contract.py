"""The contract suite: each of its tests that asks for a store is collected here again.

Without CLUSTER=all these are only the modules in which a cluster differs most.
"""

import os
from typing import Any, Final

from tests.library.containers.test_contract import collected

_MODULES: Final = {
    "made_once",
    "resends",
    "round_trips",
    "unbind",
    "user_index",
    "user_sessions",
}
_NOT_HERE: Final = {
    "test_a_demoted_server_refuses_to_read_and_write": "a cluster's servers take no REPLICAOF",
    "test_an_index_that_an_earlier_release_cut_short_is_repaired": "none wrote to a cluster",
    "test_the_servers_index_is_pruned_and_expires": "when listed: see test_routing",
}


def _is_wanted(name: str, test: Any) -> bool:
    if name in _NOT_HERE:
        return False
    if os.environ.get("CLUSTER") == "all" or not name.startswith("test_"):
        return True
    module: str = test.__module__
    return module.rpartition(".")[2].removeprefix("test_") in _MODULES


globals().update({name: test for name, test in collected().items() if _is_wanted(name, test)})
