"""Parts of the shop by themselves, and what no other place can show."""
