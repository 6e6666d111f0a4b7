"""Names and options in, a list of runs out: cells, matrices, variants, plugins. Pure; nothing is computed. No torch."""
