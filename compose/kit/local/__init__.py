"""Real processes under supervisord."""
