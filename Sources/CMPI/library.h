// The library that was opened.
#pragma once

#include "internal.h"

/// The ABI in use between start and finalize, else NULL.
const forja__mpi_abi *forja__mpi_started(void);
