"""Stores for the tests, and servers that misbehave."""
