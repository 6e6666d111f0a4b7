"""A task or an arm in, what is wrong with it out: its data are looked at, and one step is taken. Nothing is recorded."""
