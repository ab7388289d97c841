"""Measurements of the session library beside others: programs with a table and raw data."""
