"""Containers, by Docker Compose."""
