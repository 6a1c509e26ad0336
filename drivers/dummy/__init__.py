"""The dummy of every family: hosts, guests and disks that cost nothing, with delays and failures as scripted."""
