"""The parts of which `triton_kernels.tensor_details.ragged_tensor` is made."""
