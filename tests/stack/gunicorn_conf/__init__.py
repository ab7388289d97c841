"""Gunicorn with its configuration: real masters and workers on a small application."""
