"""The command line: arguments in, a command carried out, an exit code out. It alone knows every task and arm."""
