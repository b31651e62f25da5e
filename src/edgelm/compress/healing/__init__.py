"""Training a cut model to say again what its base says."""
