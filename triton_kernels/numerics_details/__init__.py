"""The device code behind `triton_kernels.numerics`."""
