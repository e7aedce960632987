/// Forja's C engine: devices, buffers, queues and the operations of a Llama training step.
///
/// Every function that can fail returns a `forja_status`; on anything but FORJA_OK the calling
/// thread's message (`forja_last_error`) names the call, the values seen and the remedy. Nothing
/// aborts and nothing prints.
#pragma once

#include "forja_version.h"
#include "forja_status.h"
#include "forja_types.h"
#include "forja_device.h"
#include "forja_buffer.h"
#include "forja_staging.h"
#include "forja_queue.h"
#include "forja_event.h"
#include "forja_matmul.h"
#include "forja_attention.h"
#include "forja_log_probability.h"
#include "forja_ops.h"
#include "forja_optimizer.h"
#include "forja_tune.h"
#include "forja_bench.h"
