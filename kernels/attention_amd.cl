// Attention on AMD's matrix units.
#include "fragment_amd.cl"
#include "attention_fragment.cl"
