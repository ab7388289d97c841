"""A session that is made once, such as one that is adopted from another library."""

from unsticky.testing.contract import made_once

from tests.support.stores.proof import collected_from

globals().update(collected_from(made_once))
