"""Other projects' test suites and applications, run on our sessions."""
