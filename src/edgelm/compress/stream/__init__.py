"""A model that is never in memory as a whole: its tensors are read one by one, and its layers run one by one."""
