"""What a compression takes and what its result will need: arithmetic on dimensions, without torch or weights."""
