// Helpers for kernels that work on matrix rows: four elements at a time, and sums over a block. The
// length of a row is a multiple of four elements.

constexpr int WARP = 32;
#define LEAST (-__uint_as_float(0x7f800000u)) // −∞

// Four neighbouring elements, loaded and stored at once: 16 bytes of f32, 8 of bf16.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

// Loads four elements as floats; x begins at a multiple of four elements.
template <typename T>
__device__ __forceinline__ void load_four(const T* x, float (&values)[4]) {
    CHECK_ALIGNED(x, sizeof(Four<T>));
    Four<T> four = *reinterpret_cast<const Four<T>*>(x);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = to_float(four.at[i]);
}

// Stores four floats in the type of x, rounded.
template <typename T>
__device__ __forceinline__ void store_four(const float (&values)[4], T* x) {
    CHECK_ALIGNED(x, sizeof(Four<T>));
    Four<T> four;
#pragma unroll
    for (int i = 0; i < 4; i++) store(&four.at[i], values[i]);
    *reinterpret_cast<Four<T>*>(x) = four;
}

// Returns the sum of doubles over a warp, in every lane; shuffles move 32 bits at a time.
__device__ __forceinline__ double warp_sum(double x) {
    for (int lane = 16; lane > 0; lane /= 2) {
        union {
            double number;
            unsigned words[2];
        } other{x};
        for (unsigned& word : other.words) word = __shfl_xor_sync(EVERY_LANE, word, lane);
        x += other.number;
    }
    return x;
}

// Returns the sum over all threads of a block of whole warps, in every thread.
template <typename F>
__device__ __forceinline__ F block_sum(F x) {
    __shared__ F parts[WARP];
    x = warp_sum(x);
    __syncthreads(); // every thread has read the parts of an earlier sum
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = x;
    __syncthreads();
    F sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / WARP; warp++) sum += parts[warp];
    return sum;
}

// Returns the maximum over all threads of a block of whole warps, in every thread.
__device__ __forceinline__ float block_max(float x) {
    __shared__ float parts[WARP];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = x;
    __syncthreads();
    float most = parts[0];
    for (unsigned warp = 1; warp < blockDim.x / WARP; warp++) most = fmaxf(most, parts[warp]);
    return most;
}
