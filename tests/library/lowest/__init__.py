"""The library on the oldest versions of what it needs."""
