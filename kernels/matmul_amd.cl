// The matrix product on AMD's matrix units.
#include "fragment_amd.cl"
#include "matmul_fragment.cl"
