"""The Triton side of `triton_kernels.swiglu`, and the plan of its launches."""
