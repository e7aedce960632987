// Whether a device of compute capability 9.0 or newer copies in bulk from OpenCL C: cp.async.bulk and
// the mbarrier that counts its bytes. For Benchmarks/probes; no part of the engine.
//
// Launch    one work-group of 128; `from` and `out` hold 1024 words, `from` on a multiple of 16
// Writes    out, the words of `from` in opposite order
// Reference "PTX ISA", sections "cp.async.bulk" and "mbarrier"
#define PTX __asm__ volatile

__kernel __attribute__((reqd_work_group_size(128, 1, 1))) void nv_bulk_copy_probe(
    __global const uint *from, __global uint *out) {
    enum { WORDS = 1024, BYTES = 4096 };
    __local uint words[WORDS] __attribute__((aligned(128)));
    __local ulong arrivals __attribute__((aligned(8)));
    const uint item = get_local_id(0);
    const uint to = (uint)(size_t)words, barrier_at = (uint)(size_t)&arrivals;
    if (item == 0) {
        PTX("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier_at) : "memory");
        // The copy engine sees the barrier as it was made here.
        PTX("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item == 0) {
        PTX("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier_at), "r"(BYTES)
            : "memory");
        PTX("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
            "[%3];" ::"r"(to), "l"(from), "r"(BYTES), "r"(barrier_at)
            : "memory");
    }
    // A bounded wait: a copy that never ends gives wrong words, and no hung device.
    uint is_done = 0;
    for (int i = 0; i < 1000 && !is_done; i++)
        PTX("{\n.reg .pred p;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"
            "selp.u32 %0, 1, 0, p;\n}"
            : "=r"(is_done)
            : "r"(barrier_at)
            : "memory");
    for (uint i = item; i < WORDS; i += get_local_size(0))
        out[i] = is_done ? words[WORDS - 1 - i] : 0;
}
