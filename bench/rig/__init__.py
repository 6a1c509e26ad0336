"""What bones and compare are made of: processes that are ended by their id, wrk, the floor in turns, the scenes."""
