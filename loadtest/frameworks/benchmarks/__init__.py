"""What is measured: all peers side by side, anomalies, what a session, a page and a server cost.

Those of this library alone (`workers`, `distance`, `size`) are tables of `report`.
"""
