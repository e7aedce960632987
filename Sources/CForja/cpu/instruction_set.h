/// Which instructions the host's operations may use.
#pragma once

typedef enum forja__instruction_set {
    FORJA__GENERIC, /// what the compiler's baseline has
    FORJA__AVX2,    /// with FMA
    FORJA__AVX512,  /// F, BW, DQ and VL, with FMA
} forja__instruction_set;

/// The widest that processor and system have; FORJA_CPU=generic or =avx2 narrows it, for tests and
/// comparisons.
forja__instruction_set forja__host_instruction_set(void);
