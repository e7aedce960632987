/// The events of a queue's kernels, kept to ask the device how long each took.
#pragma once

#include "opencl.h"

/// NULL when there is no memory.
forja__profile *forja__profile_create(void);
/// Releases the events; NULL is allowed.
void forja__profile_free(forja__profile *profile);

/// Takes the event over. Without memory for it the profile remembers that it is not whole.
void forja__profile_keep(forja__profile *profile, cl_event event);
void forja__profile_forget(forja__profile *profile);
uint64_t forja__profile_count(const forja__profile *profile);

/// Seconds between start and end of each kept event, all of which are complete.
forja_status forja__profile_read(double *out, const forja__profile *profile,
                                 const char *device_name);
