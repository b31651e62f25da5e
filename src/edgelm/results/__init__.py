"""Results files: a team's own figures, written in one canonical form and read in whatever form they come."""
