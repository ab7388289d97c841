"""`make check`: what in an application breaks on many processes.

`sources` reads its modules, and `reading` looks for what breaks. `processes` runs the application
twice in a copy of its folder, `probe` is the program that does it, and `comparison` corrects what
was read by what the two are. `report` prints the findings; `findings` explains their kinds.
"""
