"""The layouts, one a file; `triton_kernels.tensor_details.layout` lists them."""
