"""What is measured: the comparison of all peers, the races, the cost of a session, a whole page."""
