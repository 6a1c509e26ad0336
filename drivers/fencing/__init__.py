"""Fence drivers: how a host that is silent is made certain to run none of its VMs.  They work on the front-end."""
