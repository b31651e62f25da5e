"""Archives: ours, the same bytes for the same files; a stranger's, unpacked within limits to plain files or refused."""
