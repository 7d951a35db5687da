"""Values of the kernels, in Triton's interpreter."""
