"""Other tools, run beside this project: the same trials without its search, and environments for
those that cannot live in this project's own."""
