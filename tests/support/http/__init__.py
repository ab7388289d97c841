"""HTTP clients and answers."""
