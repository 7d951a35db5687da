"""The parts of which `triton_kernels.tensor_details.bitmatrix` is made."""
