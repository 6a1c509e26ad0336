"""onecore: a cloud manager for private clouds that answers OpenNebula's API."""
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("onecore")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0.0.0"

API_VERSION = "7.4.0"
"""The OpenNebula release whose API is answered; clients branch on it."""
