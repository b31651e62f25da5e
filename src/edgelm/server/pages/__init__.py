"""The pages: one file for each group of them, with a `router` that the application takes in by itself.

A page shows what a call of `api` answers to the same viewer, and a form does what a call does: pages ask no tables of
their own. What they have in common stands in `frame`.
"""
