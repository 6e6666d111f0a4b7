"""Records in, numbers out: pairs, estimates, tests, verdicts. No torch, no text and no figure."""
