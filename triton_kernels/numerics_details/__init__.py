"""The device code behind `triton_kernels.numerics`."""

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)
