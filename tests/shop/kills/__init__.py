"""Workers that die at every step of what they do, and what is left then."""
