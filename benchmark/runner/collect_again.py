"""Imported last by a process that has imported much: what is there stays, and the garbage collector looks at what comes after.

The processes that are forked from this one look through no module any more, and so share its memory.
"""

import gc

gc.freeze()
gc.enable()
