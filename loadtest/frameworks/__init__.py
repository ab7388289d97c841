"""The same cart over the session libraries that people use, side by side."""
