"""The daemons of this machine: where they live, starting, stopping and looking after them."""
