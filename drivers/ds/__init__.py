"""Datastore drivers: images on the front-end, from registration to removal.  A VM's own disks: drivers.tm."""
