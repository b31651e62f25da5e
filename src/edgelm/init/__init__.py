"""`edgelm init`: a team's repository to start from, with the commands from the base models to a checked package."""
