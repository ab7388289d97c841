"""Other frameworks' sessions beside this library's: `make bench` serves the same cart over each."""
