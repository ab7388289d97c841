"""One contract, and one module for each store that keeps it."""
