"""The organiser's side of a competition: accounts, teams, packages, a queue of evaluations, boards.

It never imports torch and never loads a stranger's model in its own process: that is done by workers, in a sandbox.
"""
