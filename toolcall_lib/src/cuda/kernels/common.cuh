// What all kernels share: types, and sums over a warp and a block. Compiled by NVRTC, and with EMULATED by the host's
// compiler together with emulate.hpp.

#ifndef EMULATED
// In the emulation it makes a kernel known by its name.
#define KERNEL(name)
// The dynamic shared memory of the block, as an array.
#define DYNAMIC_SHARED(type, name)                                 \
    extern __shared__ __align__(16) unsigned char shared_memory[]; \
    type* name = reinterpret_cast<type*>(shared_memory)
#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// A number of 16 bits: the upper half of a float.
struct bf16 {
    unsigned short bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

__device__ inline void from_float(float x, float& y) { y = x; }
// Rounds to the nearest, ties to even.
__device__ inline void from_float(float x, bf16& y) {
#ifdef EMULATED
    unsigned bits = __float_as_uint(x);
    y.bits = x != x ? 0x7fff : static_cast<unsigned short>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#endif
}

// Four neighbours, loaded and stored at once: 16 bytes of f32, 8 of bf16.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

// Four elements as floats; `x` begins at a multiple of four elements.
template <typename T>
__device__ inline void load(const T* x, float (&values)[4]) {
    Four<T> four = *reinterpret_cast<const Four<T>*>(x);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = to_float(four.at[i]);
}

template <typename T>
__device__ inline void store(const float (&values)[4], T* x) {
    Four<T> four;
#pragma unroll
    for (int i = 0; i < 4; i++) from_float(values[i], four.at[i]);
    *reinterpret_cast<Four<T>*>(x) = four;
}

template <typename F>
__device__ inline F warp_sum(F x) {
#pragma unroll
    for (int lane = WARP / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(ALL_LANES, x, lane);
    return x;
}

__device__ inline float warp_max(float x) {
#pragma unroll
    for (int lane = WARP / 2; lane > 0; lane /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, lane));
    return x;
}

// The sum over all threads of a block of whole warps, in every thread.
template <typename F>
__device__ inline F block_sum(F x) {
    __shared__ F parts[WARP];
    x = warp_sum(x);
    __syncthreads(); // the parts of an earlier sum are read
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = x;
    __syncthreads();
    F sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / WARP; warp++) sum += parts[warp];
    return sum;
}

__device__ inline float block_max(float x) {
    __shared__ float parts[WARP];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = x;
    __syncthreads();
    float most = parts[0];
    for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) most = fmaxf(most, parts[warp]);
    return most;
}
