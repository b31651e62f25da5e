"""The HTTP interface: one file for each group of calls, with a `router` that the application takes in by itself."""
