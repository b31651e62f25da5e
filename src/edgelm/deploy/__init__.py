"""Deploy targets: from a checkpoint to the bundle that goes onto a device."""
