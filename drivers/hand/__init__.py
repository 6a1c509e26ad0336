"""What works on a host: programs of the standard library (Python 3.9 or newer) that are sent there and run from memory.

The same modules do the work on this machine, called by drivers/local.py; nothing here imports anything else of ours.
"""
