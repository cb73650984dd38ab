"""What may be, as pure functions over values: asked by the emulator, the file checks and the administrator alike.

A rule knows no lock, no clock and no log, and gives reasons instead of sentences: each caller has its own words. The
order of effects is the caller's, too. ``reference`` finds the written text of a rule by its ID. Stands on arch.
"""
