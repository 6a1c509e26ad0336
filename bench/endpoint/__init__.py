"""What onebench is made of: it knows OpenNebula's API and the standard library, nothing of onecore."""
