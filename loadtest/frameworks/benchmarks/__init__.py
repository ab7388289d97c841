"""What is measured: all peers side by side, races, the cost of a session, a whole page, servers.

Those of this library alone (`workers`, `distance`, `size`) are tables of `report`.
"""
