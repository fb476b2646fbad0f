"""Our figures beside the physical limit, in one run on one machine: `make bench`."""
