"""The checker: what is wrong with a submission, where, why, and how to mend it."""
