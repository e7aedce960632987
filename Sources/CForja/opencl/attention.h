/// What the launchers of attention share.
#pragma once

#include "variants.h"

/// Launches forja_attention_forward_<suffix>: row->tile.m rows to a work-group (1 where it is 0).
/// `more` are options beside the head's width and the storage type, with a leading space.
forja_status forja__attention_launch_forward(forja_queue *queue, const forja__variant *row,
                                             const forja_attention_args *args,
                                             forja__source source, const char *suffix,
                                             const char *more);

/// Launches delta, then forja_attention_dq_<suffix> by tiles of row->tile.m rows and
/// forja_attention_dkv_<suffix> by tiles of row->tile.n keys.
forja_status forja__attention_launch_backward(forja_queue *queue, const forja__variant *row,
                                              const forja_attention_backward_args *args,
                                              forja__source source, const char *suffix,
                                              const char *more);

/// Workspace of the backward pass: delta, [B, H, T] f32.
uint64_t forja__attention_delta_bytes(const forja_device *device, const forja__variant *row,
                                      const forja_attention_backward_args *args);

/// delta = rowsum(dO ∘ O), [B, H, T] f32: what every variant of the backward pass reads.
forja_status forja__attention_launch_delta(forja_queue *queue,
                                           const forja_attention_backward_args *args,
                                           forja_span delta);
