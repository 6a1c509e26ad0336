"""The match-maker: decides where pending VMs run.  A client of oned like any other; it keeps no state of its own."""
