"""What every store must do, and what the sessions on it promise, on each store alike."""
