"""The shop, asked through WSGI, on the memory store and on a real Valkey."""
