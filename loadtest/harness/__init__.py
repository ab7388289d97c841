"""The harness: makes one run, from its settings to its result.

`target` finds out what the target offers, `generator` runs Locust, whose processes write samples
(`loadtest.users`), `figures` turns these into exact figures, `gate` compares the figures with a
profile of `slo.toml`, `course` makes a result of all that, and `result` holds it. `kit` starts
stacks from a copy of the checkout. Nothing here imports Locust, which patches the process that it
is in.
"""
