"""The parts of which `triton_kernels.matmul_ogs` is made."""
