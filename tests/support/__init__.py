"""Servers, clients and stacks for the tests: used by all parts, and tests nothing itself."""
