"""What is measured: the comparison of all peers, anomalies, the cost of a session, a whole page."""
