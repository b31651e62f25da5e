"""Running a stranger's program: inside bubblewrap, under limits, with the outcome decided outside."""
