"""Changes of fields: what is applied, what is compared, what is refused; always all or nothing."""

from unsticky.testing.contract import changes, sizes

from tests.support.stores.proof import collected_from

globals().update(collected_from(changes, sizes))
