"""A spec with its task and arm in, a record and weights out: set-up, loop, optimizer, stacks, evaluation, checkpoints."""
