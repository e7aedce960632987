// The matrix product on Intel's matrix units.
#include "fragment_xmx.cl"
#include "matmul_fragment.cl"
