"""What a run costs: operations, bytes and hours."""
