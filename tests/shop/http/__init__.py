"""The HTTP contract of docs/http-api.md, over three kinds of places; each test is named by its row."""
