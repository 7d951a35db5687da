"""What the tests of the kernels stand on where there is no GPU."""
