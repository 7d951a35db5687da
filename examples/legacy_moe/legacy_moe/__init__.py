"""A mixture-of-experts layer written against the old `triton_kernels.routing`."""
