"""Scenarios for `make loadtest`: `SCENARIO=` names one, or a file of your own."""
