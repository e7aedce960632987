/// What attention's launchers share.
#pragma once

#include "opencl.h"

/// delta = rowsum(dO ∘ O), [B, H, T] f32: what every variant of the backward pass reads.
forja_status forja__attention_launch_delta(forja_queue *queue,
                                           const forja_attention_backward_args *args,
                                           forja_span delta);
