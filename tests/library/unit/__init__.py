"""The parts of the session library that speak to no store."""
