"""Information drivers: how hosts are, what is on them, and whether they have what they need."""
