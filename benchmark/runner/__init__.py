"""A plan in, records on disk out: processes, their work and progress. No torch before a process starts."""
