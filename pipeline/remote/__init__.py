"""Files that lie elsewhere: any fsspec file system, verified and resumable downloads."""
