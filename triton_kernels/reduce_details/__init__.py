"""The Triton side of `triton_kernels.reduce`, and the plan of its launch."""
