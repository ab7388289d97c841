"""The whole stack, as `make up` starts it."""
