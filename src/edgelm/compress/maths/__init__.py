"""The mathematics of the steps: what becomes of the tensors of one layer, apart from how they are read and written."""
