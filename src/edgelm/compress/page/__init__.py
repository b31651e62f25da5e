"""The report of a compression as a page."""
