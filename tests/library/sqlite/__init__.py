"""The store in an SQLite database, beyond the contract."""
