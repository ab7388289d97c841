"""Runs: one run of the load test from its options to its verdict and its report.

The flow: :mod:`runs.options` parses what the caller wants, :mod:`runs.target` asks the target what
it offers, :mod:`runs.generator` runs Locust, whose processes write samples (:mod:`visits`),
:mod:`runs.measures` makes exact figures of them, :mod:`runs.gate` compares these with a profile of
``slo.toml``, and :mod:`runs.report` draws the report. Nothing here imports Locust, which patches
the process that it is in; :mod:`visits` does, and takes the plan and the names of what can be
wrong from here.
"""
