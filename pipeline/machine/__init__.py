"""What the operating system gives: files, leases, processes, threads, memory, progress on a terminal."""
