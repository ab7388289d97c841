"""The applications that serve the cart."""
