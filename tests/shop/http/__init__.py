"""The HTTP contract of docs/http-api.md, at three places; a row names each test."""
