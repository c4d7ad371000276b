"""Publishing and fetching over loopback HTTP."""
