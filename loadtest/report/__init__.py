"""Reports: what a run looks like on a terminal and as a page; runs compared; a sweep of runs."""
