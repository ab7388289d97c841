"""The session library against servers in containers."""
