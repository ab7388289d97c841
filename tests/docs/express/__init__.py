"""docs/migrating-from-express.md: each line of its tables, carried out on an application."""
