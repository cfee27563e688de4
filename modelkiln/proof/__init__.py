"""`modelkiln prove-gate`: deliberately broken artifacts, each of which the checks have to refuse."""
