"""Code, packages and machine in, digests out: which code computed a result, and whether that is still so. No torch."""
