"""Stacks and their parts, started for the tests."""
