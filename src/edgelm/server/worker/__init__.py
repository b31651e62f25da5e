"""A worker: it leases jobs from a server, runs submitted models in a box on its machine, and hands in answers."""
