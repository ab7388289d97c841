"""Sessions in a Redis Cluster: the contract's suite again, and what only a cluster has."""
