"""Virtual machines.  The table of states.py says what happens; methods.py is the API; the rest serves them."""
