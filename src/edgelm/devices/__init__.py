"""Where a checkpoint is measured: one file a device."""
