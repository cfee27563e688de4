"""Sweeps: the pipeline up to its verdict for each cell, which is one model in one variant by one backend.

    cells         which cells there are, and what each experiment is called
    queue         an engine: DVC's own queue, on this machine
    on_ray        another: Ray, on as many machines as there are; an `attempt` is one cell in a clone of its own
    experiments   what became of the cells, read from DVC's experiments and from the attempts
    leaderboard   which of them is the best, by a rule, and why the others are not
    page, table   the same for people
    adopt         a cell's result into the workspace and the registry

An experiment is what is kept of a cell: DVC has its parameters, its files and its name in git. No sweep registers.
"""
