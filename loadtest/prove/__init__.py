"""`make prove`: what the stack keeps on this machine, each row beside a stock server's.

`stacks` runs the two, in folders of their own; `visitors` load them and count what is lost; each
function of `rows` makes a `row`, and so does `soak`; `page` writes them down. Nothing here uses the
stack that runs.
"""
