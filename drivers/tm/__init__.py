"""Transfer drivers: a VM's disks on its host, from first copy to last clean-up.  Images are made in drivers.ds."""
