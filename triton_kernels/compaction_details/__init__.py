"""The Triton side of `triton_kernels.compaction`."""
