"""Sweeps, what is set aside, probes, closing, and deadlines that are short."""

from unsticky.testing.contract import upkeep

from tests.support.stores.proof import collected_from

globals().update(collected_from(upkeep))
