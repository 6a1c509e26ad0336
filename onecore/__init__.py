"""onecore: a cloud manager for private clouds that answers OpenNebula's API."""

API_VERSION = "7.4.0"
"""The OpenNebula release whose API is answered; clients branch on it."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: importlib.metadata takes longer than most commands."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("onecore")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "0.0.0"
