"""Codemods that carry code from the old `triton_kernels.routing` to its new homes."""
