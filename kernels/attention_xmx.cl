// Attention on Intel's matrix units.
#include "fragment_xmx.cl"
#include "attention_fragment.cl"
