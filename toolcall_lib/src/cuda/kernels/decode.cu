// Attention of one query per sequence over the KV cache, of which the query sees some ranges of
// slots. Blocks split the keys, so that a few sequences fill the GPU; each leaves partial sums,
// which a second kernel joins. Bound by memory: a lane reads 16 bytes of a key, as many lanes as a
// key is wide work on one key, and a warp on several keys.

constexpr int DECODE_WARPS = 4;
constexpr float LOG2_E = 1.4426950408889634f;

// 16 bytes of elements.
template <class T>
struct alignas(16) Piece {
    T x[16 / sizeof(T)];
};

template <class T>
__device__ __forceinline__ Piece<T> load_piece(const T* x) {
    CHECK_ALIGNED(x, 16);
    return *reinterpret_cast<const Piece<T>*>(x);
}

// Softmax sums over some keys: Σ weight * value and Σ weight, both relative to 2^most.
template <int N>
struct Sums {
    float values[N], total, most;

    // Rescales the sums to a new maximum; -inf means that nothing was summed yet.
    __device__ __forceinline__ void scale(float high) {
        float kept = high == LEAST ? 0.0f : exp2f(most - high);
        for (int i = 0; i < N; i++) values[i] *= kept;
        total *= kept;
        most = high;
    }
};

// Writes partial[sequence, head, split] = [dim values, total, most] over the split's keys. The grid
// is (query heads, sequences, splits).
template <class T, int DIM>
__device__ __forceinline__ void decode(const T* q, long long q_stride, const T* k, const T* v, long long stride, float* partial,
                                       const int* first, const int* ranges, int chunk, int group, float scale) {
    constexpr int N = 16 / sizeof(T), LANES = DIM / N, KEYS = 32 / LANES;
    __shared__ float of_warps[DECODE_WARPS][DIM + 2];
    int head = (int)blockIdx.x, sequence = (int)blockIdx.y, split = (int)blockIdx.z;
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, column = lane % LANES * N;
    k += head / group * DIM + column;
    v += head / group * DIM + column;
    // 1. The query, scaled so that exp2 gives the softmax weights.
    float query[N];
    Piece<T> piece = load_piece(q + sequence * q_stride + head * DIM + column);
    for (int i = 0; i < N; i++) query[i] = to_float(piece.x[i]) * (scale * LOG2_E);
    Sums<N> sums = {{}, 0.0f, LEAST};
    int before = 0; // keys in the ranges before this one
    // 2. Each warp takes KEYS keys of the split's part of each range, and keeps its own sums.
    for (int range = first[sequence]; range < first[sequence + 1]; range++) {
        int start = ranges[2 * range], count = ranges[2 * range + 1] - start;
        int begin = max(split * chunk - before, 0), end = min((split + 1) * chunk - before, count);
        before += count;
        for (int key = begin + warp * KEYS; key < end; key += DECODE_WARPS * KEYS) {
            bool there = key + lane / LANES < end;
            long long at = (start + (there ? key + lane / LANES : key)) * stride;
            Piece<T> of_key = load_piece(k + at), value = load_piece(v + at);
            float score = 0.0f;
            for (int i = 0; i < N; i++) score = fmaf(query[i], to_float(of_key.x[i]), score);
            for (int other = LANES / 2; other > 0; other /= 2) score += __shfl_xor_sync(EVERY_LANE, score, other);
            if (!there) score = LEAST;
            sums.scale(fmaxf(sums.most, score));
            float weight = there ? exp2f(score - sums.most) : 0.0f;
            sums.total += weight;
            for (int i = 0; i < N; i++) sums.values[i] = fmaf(weight, to_float(value.x[i]), sums.values[i]);
        }
    }
    // 3. Add up the lanes that hold the same columns, then the warps.
    for (int other = LANES; other < 32; other *= 2) {
        sums.scale(fmaxf(sums.most, __shfl_xor_sync(EVERY_LANE, sums.most, other)));
        sums.total += __shfl_xor_sync(EVERY_LANE, sums.total, other);
        for (int i = 0; i < N; i++) sums.values[i] += __shfl_xor_sync(EVERY_LANE, sums.values[i], other);
    }
    if (lane < LANES)
        for (int i = 0; i < N; i++) of_warps[warp][column + i] = sums.values[i];
    if (lane == 0) of_warps[warp][DIM] = sums.total, of_warps[warp][DIM + 1] = sums.most;
    __syncthreads();
    float high = LEAST;
    for (int i = 0; i < DECODE_WARPS; i++) high = fmaxf(high, of_warps[i][DIM + 1]);
    partial += (((long long)sequence * gridDim.x + head) * gridDim.z + split) * (DIM + 2);
    for (int d = (int)threadIdx.x; d < DIM + 1; d += DECODE_WARPS * 32) {
        float sum = 0.0f;
        for (int i = 0; i < DECODE_WARPS; i++)
            if (of_warps[i][DIM + 1] != LEAST) sum += of_warps[i][d] * exp2f(of_warps[i][DIM + 1] - high);
        partial[d] = sum;
    }
    if (threadIdx.x == 0) partial[DIM + 1] = high;
}

// Computes out[sequence, head] from the sums of all splits. Each thread has one element; the grid
// is (query heads, sequences).
template <class T>
__device__ __forceinline__ void join(const float* partial, T* out, int splits) {
    int dim = (int)blockDim.x, d = (int)threadIdx.x;
    long long at = (long long)blockIdx.y * gridDim.x + blockIdx.x;
    partial += at * splits * (dim + 2);
    float high = LEAST, sum = 0.0f, total = 0.0f;
    for (int i = 0; i < splits; i++) high = fmaxf(high, partial[i * (dim + 2) + dim + 1]);
    for (int i = 0; i < splits; i++) {
        float weight = exp2f(partial[i * (dim + 2) + dim + 1] - high);
        sum += weight * partial[i * (dim + 2) + d];
        total += weight * partial[i * (dim + 2) + dim];
    }
    store(&out[at * dim + d], sum / total);
}

#define INSTANCES(T, NAME)                                                                                                        \
    extern "C" __global__ void attention_decode_##NAME##_64(const T* q, long long q_stride, const T* k, const T* v,               \
                                                            long long stride, float* partial, const int* first,                   \
                                                            const int* ranges, int chunk, int group, float scale) {               \
        decode<T, 64>(q, q_stride, k, v, stride, partial, first, ranges, chunk, group, scale);                                    \
    }                                                                                                                             \
    extern "C" __global__ void attention_decode_##NAME##_128(const T* q, long long q_stride, const T* k, const T* v,              \
                                                             long long stride, float* partial, const int* first,                  \
                                                             const int* ranges, int chunk, int group, float scale) {              \
        decode<T, 128>(q, q_stride, k, v, stride, partial, first, ranges, chunk, group, scale);                                   \
    }                                                                                                                             \
    extern "C" __global__ void attention_join_##NAME(const float* partial, T* out, int splits) { join(partial, out, splits); }
INSTANCES(float, f32)
INSTANCES(bf16, bf16)

KERNEL(attention_decode_f32_64)
KERNEL(attention_decode_f32_128)
KERNEL(attention_decode_bf16_64)
KERNEL(attention_decode_bf16_128)
KERNEL(attention_join_f32)
KERNEL(attention_join_bf16)
