"""Ways to make the box that a submitted model runs in, one module each, and the trial that each must stand."""
