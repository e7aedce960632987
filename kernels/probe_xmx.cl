// Whether the device's matrix unit does what fragment_xmx.cl says.
#include "fragment_xmx.cl"
#include "fragment_probe.cl"
