"""What the shop keeps in the store beside the sessions: accounts, saved carts, orders.

Each module is one kind of record: a protocol, and a class of it for Redis and one for the memory of
a shop that is one process. Everything of one owner lies under one hash tag, so that one script can
change it as a whole, also in a Cluster.
"""
