"""What holds the kit to its word: unit tests, and tests on the real stack."""
