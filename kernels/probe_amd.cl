// Whether the device's matrix unit does what fragment_amd.cl says.
#include "fragment_amd.cl"
#include "fragment_probe.cl"
