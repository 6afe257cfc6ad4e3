"""What runs in BFCL's environment, a process for each soup; it imports nothing else of soce."""
