// The beginning of every kernel source: bf16, warp collectives, tensor cores and asynchronous
// copies. NVRTC compiles it without any header; for tests the host's compiler does, with
// emulate.hpp, and then EMULATED is defined.

#ifndef EMULATED
#define KERNEL(name)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define CHECK_ALIGNED(pointer, bytes)
#else
#define CHECK_ALIGNED(pointer, bytes) emulate::check_aligned(pointer, bytes)
#endif

#define EVERY_LANE 0xffffffffu

struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }

// Rounds two floats to the nearest bf16, ties to even; the first is in the low half of the result.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
#ifdef EMULATED
    return emulate::round_bf16(low) | emulate::round_bf16(high) << 16;
#else
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#endif
}

// Stores x in the type of `to`, rounded.
__device__ __forceinline__ void store(float* to, float x) { *to = x; }
__device__ __forceinline__ void store(bf16* to, float x) { to->bits = (unsigned short)pack_bf16(x, 0.0f); }

// Rounds x to the nearest, or stochastically: the nearer the upper neighbour, the more likely up,
// by a hash of x (ops/element.rs).
enum { NEAREST, STOCHASTIC };
__device__ __forceinline__ bf16 round_to(float x, int rounding) {
    bf16 y;
    if (rounding == STOCHASTIC) {
        // Adds 16 hashed bits below the last bit that bf16 keeps; a carry rounds up.
        const unsigned bits = __float_as_uint(x);
        y.bits = (unsigned short)((bits + (bits * 0x9e3779b9u >> 16)) >> 16);
    } else {
        store(&y, x);
    }
    return y;
}

// Returns the sum over the lanes of a warp, in every lane.
__device__ __forceinline__ float warp_sum(float x) {
    for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(EVERY_LANE, x, lane);
    return x;
}

// Returns the maximum over the lanes of a warp, in every lane.
__device__ __forceinline__ float warp_max(float x) {
    for (int lane = 16; lane > 0; lane /= 2) x = fmaxf(x, __shfl_xor_sync(EVERY_LANE, x, lane));
    return x;
}

#ifndef EMULATED

// Computes d += a * b on a warp's tensor core: a is [16, 16], b is [16, 8], d is [16, 8]. Lane 4 g
// + t holds of a the rows g and g + 8 at columns 2t (two each), then both at 2t + 8; of b the rows
// 2t and 2t + 8 (two each) of column g; of d the columns 2t, 2t + 1 of row g, then of row g + 8.
__device__ __forceinline__ void mma_m16n8k16_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads four 8x8 matrices of bf16 from shared memory. Lane 8 i + j names row j of matrix i, 16
// bytes; lane 4 g + t receives row g, columns 2t and 2t + 1 of each matrix.
__device__ __forceinline__ void ldmatrix_x4(unsigned r[4], const bf16* row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

// Loads four matrices like ldmatrix_x4, each transposed: lane 4 g + t receives rows 2t and 2t + 1
// of column g.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned r[4], const bf16* row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

// Starts copying 16 bytes into shared memory, or filling them with zeros if `there` is false; then
// `from` is not read.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
    unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(there ? 16 : 0) : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this thread's copies except those of the last N groups. The copies of other threads
// have arrived after the next __syncthreads().
template <int N>
__device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif
