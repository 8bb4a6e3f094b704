// Attention over a packed tree in f32, with the tiles and the layout of attention.cu: for exact
// comparison with the CPU, not for speed. Four threads share a row of a tile; each has every fourth
// column of its sums. The other side of the product comes in parts of 16 rows. Needs 91 KiB of
// shared memory at dim 128.

constexpr int TILE = 64, PART = 16, OF_ROW = 4, THREADS = TILE * OF_ROW;

// Copies COUNT rows of a head; rows beyond the last one become zeros. With `places`, row i is kept
// at places[i]. One element of padding keeps rows in different banks.
template <int DIM, int COUNT>
__device__ __forceinline__ void copy_rows(float (*to)[DIM + 1], const float* from, long long stride, int first, int rows,
                                          const int* places = nullptr) {
    for (int i = (int)threadIdx.x; i < COUNT * DIM; i += THREADS) {
        int row = first + i / DIM, place = row < rows && places ? places[row] : row;
        to[i / DIM][i % DIM] = row < rows ? from[place * stride + i % DIM] : 0.0f;
    }
}

// Returns the dot product of two rows.
template <int DIM>
__device__ __forceinline__ float product(const float* a, const float* b) {
    float sum = 0.0f;
    for (int d = 0; d < DIM; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

// Computes sums += weights[PART] * part[PART, dim] in this thread's columns.
template <int DIM>
__device__ __forceinline__ void add(float sums[DIM / OF_ROW], const float* weights, const float (*part)[DIM + 1], int of_row) {
    for (int i = 0; i < PART; i++)
#pragma unroll
        for (int d = 0; d < DIM / OF_ROW; d++) sums[d] = fmaf(weights[i], part[i][d * OF_ROW + of_row], sums[d]);
}

// Writes this thread's columns of a row, times `factor`.
template <int DIM>
__device__ __forceinline__ void store_row(float* to, const float sums[DIM / OF_ROW], int of_row, float factor) {
#pragma unroll
    for (int d = 0; d < DIM / OF_ROW; d++) to[d * OF_ROW + of_row] = sums[d] * factor;
}

// out[row] = softmax(scale * q[row] * k^T) * v and lse[row] = log-sum-exp of the scores; the
// arguments are those of attention.cu. grid: (query heads, query tiles).
template <int DIM>
__device__ __forceinline__ void forward(const float* q, long long q_stride, const float* k, const float* v, long long kv_stride,
                                        float* out, float* lse, const int* ends, const int* first, const int* tiles, int rows,
                                        int key_rows, const int* at_keys, const int* places, int group, float scale) {
    DYNAMIC_SHARED(shared);
    auto queries = reinterpret_cast<float(*)[DIM + 1]>(shared);
    auto keys = queries + TILE, values = keys + PART;
    auto weights = reinterpret_cast<float(*)[PART + 1]>(values + PART);
    int heads = (int)gridDim.x, head = (int)blockIdx.x, tile = (int)(gridDim.y - 1 - blockIdx.y);
    int at = (int)threadIdx.x / OF_ROW, of_row = (int)threadIdx.x % OF_ROW, row = tile * TILE + at;
    int stands = at_keys ? at_keys[min(row, rows - 1)] : row;
    // 1. The tile of queries: [TILE, DIM].
    copy_rows<DIM, TILE>(queries, q + head * DIM, q_stride, tile * TILE, rows);
    float sums[DIM / OF_ROW] = {}, most = LEAST, total = 0.0f;
    // 2. Over the keys that the tile sees, in parts.
    for (int i = first[tile] * (TILE / PART); i < first[tile + 1] * (TILE / PART); i++) {
        int from = tiles[i / (TILE / PART)] / 2 * TILE + i % (TILE / PART) * PART;
        __syncthreads();
        copy_rows<DIM, PART>(keys, k + head / group * DIM, kv_stride, from, key_rows, places);
        copy_rows<DIM, PART>(values, v + head / group * DIM, kv_stride, from, key_rows, places);
        __syncthreads();
        // 2a. Scores of this thread's keys, and the row's maximum over its four threads.
        float scores[PART / OF_ROW], high = most;
        for (int j = 0; j < PART / OF_ROW; j++) {
            int key = from + j * OF_ROW + of_row;
            bool seen = key <= stands && stands < ends[key];
            scores[j] = seen ? scale * product<DIM>(queries[at], keys[j * OF_ROW + of_row]) : LEAST;
            high = fmaxf(high, scores[j]);
        }
        high = fmaxf(high, __shfl_xor_sync(EVERY_LANE, high, 1));
        high = fmaxf(high, __shfl_xor_sync(EVERY_LANE, high, 2));
        // 2b. Online softmax: rescale the sums to the new maximum. A row may have seen nothing yet.
        float base = high == LEAST ? 0.0f : high, kept = expf(most - base);
        most = high;
        total *= kept;
        for (int j = 0; j < PART / OF_ROW; j++) {
            float weight = expf(scores[j] - base);
            weights[at][j * OF_ROW + of_row] = weight;
            total += weight;
        }
        __syncwarp(); // the threads of a row are in one warp
#pragma unroll
        for (int d = 0; d < DIM / OF_ROW; d++) sums[d] *= kept;
        add<DIM>(sums, weights[at], values, of_row);
    }
    // 3. Divide by the denominator, summed over the row's threads.
    total += __shfl_xor_sync(EVERY_LANE, total, 1);
    total += __shfl_xor_sync(EVERY_LANE, total, 2);
    if (row >= rows) return;
    store_row<DIM>(out + ((long long)row * heads + head) * DIM, sums, of_row, 1.0f / total);
    if (of_row == 0) lse[(long long)row * heads + head] = most + logf(total);
}

// dq of a query tile and head. grid: (query heads, query tiles).
template <int DIM>
__device__ __forceinline__ void backward_queries(const float* q, const float* k, const float* v, long long stride,
                                                 const float* dout, const float* lse, const float* delta, float* dq,
                                                 const int* ends, const int* first, const int* tiles, int rows, int group,
                                                 float scale) {
    DYNAMIC_SHARED(shared);
    auto queries = reinterpret_cast<float(*)[DIM + 1]>(shared);
    auto of_out = queries + TILE, keys = of_out + TILE, values = keys + PART;
    auto gradients = reinterpret_cast<float(*)[PART + 1]>(values + PART);
    int heads = (int)gridDim.x, head = (int)blockIdx.x, tile = (int)(gridDim.y - 1 - blockIdx.y);
    int at = (int)threadIdx.x / OF_ROW, of_row = (int)threadIdx.x % OF_ROW, row = tile * TILE + at;
    // 1. Queries, gradients of the output, lse and delta of the tile's rows.
    copy_rows<DIM, TILE>(queries, q + head * DIM, stride, tile * TILE, rows);
    copy_rows<DIM, TILE>(of_out, dout + head * DIM, (long long)heads * DIM, tile * TILE, rows);
    float of_lse = row < rows ? lse[(long long)row * heads + head] : 0.0f;
    float of_delta = row < rows ? delta[(long long)row * heads + head] : 0.0f;
    float sums[DIM / OF_ROW] = {};
    // 2. Over the keys that the tile sees: dscores = p * (dout · v - delta), dq += dscores * k.
    for (int i = first[tile] * (TILE / PART); i < first[tile + 1] * (TILE / PART); i++) {
        int from = tiles[i / (TILE / PART)] / 2 * TILE + i % (TILE / PART) * PART;
        __syncthreads();
        copy_rows<DIM, PART>(keys, k + head / group * DIM, stride, from, rows);
        copy_rows<DIM, PART>(values, v + head / group * DIM, stride, from, rows);
        __syncthreads();
        for (int j = of_row; j < PART; j += OF_ROW) {
            bool seen = from + j <= row && row < ends[from + j];
            float weight = seen ? expf(scale * product<DIM>(queries[at], keys[j]) - of_lse) : 0.0f;
            gradients[at][j] = weight * (product<DIM>(of_out[at], values[j]) - of_delta);
        }
        __syncwarp();
        add<DIM>(sums, gradients[at], keys, of_row);
    }
    if (row < rows) store_row<DIM>(dq + row * stride + head * DIM, sums, of_row, scale);
}

// dk and dv of a key tile and key head, summed over the query heads that share it. grid: (key
// heads, key tiles).
template <int DIM>
__device__ __forceinline__ void backward_keys(const float* q, const float* k, const float* v, long long stride,
                                              const float* dout, const float* lse, const float* delta, float* dk, float* dv,
                                              const int* ends, const int* first, const int* tiles, int rows, int group,
                                              float scale) {
    DYNAMIC_SHARED(shared);
    auto keys = reinterpret_cast<float(*)[DIM + 1]>(shared);
    auto values = keys + TILE, queries = values + TILE, of_out = queries + PART;
    auto weights = reinterpret_cast<float(*)[PART + 1]>(of_out + PART);
    auto gradients = weights + TILE;
    int key_head = (int)blockIdx.x, tile = (int)blockIdx.y, heads = (int)gridDim.x * group;
    int at = (int)threadIdx.x / OF_ROW, of_row = (int)threadIdx.x % OF_ROW, key = tile * TILE + at;
    // 1. The tile of keys and values: [TILE, DIM].
    copy_rows<DIM, TILE>(keys, k + key_head * DIM, stride, tile * TILE, rows);
    copy_rows<DIM, TILE>(values, v + key_head * DIM, stride, tile * TILE, rows);
    float dk_sums[DIM / OF_ROW] = {}, dv_sums[DIM / OF_ROW] = {};
    // 2. Over the query heads and the queries that see the tile: dv += p^T * dout, dk += dscores^T
    //    * q.
    for (int head = key_head * group; head < (key_head + 1) * group; head++)
        for (int i = first[tile] * (TILE / PART); i < first[tile + 1] * (TILE / PART); i++) {
            int from = tiles[i / (TILE / PART)] / 2 * TILE + i % (TILE / PART) * PART;
            __syncthreads();
            copy_rows<DIM, PART>(queries, q + head * DIM, stride, from, rows);
            copy_rows<DIM, PART>(of_out, dout + head * DIM, (long long)heads * DIM, from, rows);
            __syncthreads();
            for (int j = of_row; j < PART; j += OF_ROW) {
                int row = from + j;
                bool seen = row < rows && key <= row && row < ends[key];
                long long of = (long long)row * heads + head;
                float weight = seen ? expf(scale * product<DIM>(queries[j], keys[at]) - lse[of]) : 0.0f;
                weights[at][j] = weight;
                gradients[at][j] = seen ? weight * (product<DIM>(of_out[j], values[at]) - delta[of]) : 0.0f;
            }
            __syncwarp();
            add<DIM>(dv_sums, weights[at], of_out, of_row);
            add<DIM>(dk_sums, gradients[at], queries, of_row);
        }
    if (key >= rows) return;
    store_row<DIM>(dk + key * stride + key_head * DIM, dk_sums, of_row, scale);
    store_row<DIM>(dv + key * stride + key_head * DIM, dv_sums, of_row, 1.0f);
}

#define INSTANCES(DIM)                                                                                                            \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_forward_f32_##DIM(                                            \
        const float* q, long long q_stride, const float* k, const float* v, long long kv_stride, float* out, float* lse,          \
        const int* ends, const int* first, const int* tiles, int rows, int key_rows, const int* at, const int* places, int group, \
        float scale) {                                                                                                            \
        forward<DIM>(q, q_stride, k, v, kv_stride, out, lse, ends, first, tiles, rows, key_rows, at, places, group, scale);       \
    }                                                                                                                             \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_backward_queries_f32_##DIM(                                   \
        const float* q, const float* k, const float* v, long long stride, const float* dout, const float* lse,                    \
        const float* delta, float* dq, const int* ends, const int* first, const int* tiles, int rows, int group, float scale) {   \
        backward_queries<DIM>(q, k, v, stride, dout, lse, delta, dq, ends, first, tiles, rows, group, scale);                     \
    }                                                                                                                             \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_backward_keys_f32_##DIM(                                      \
        const float* q, const float* k, const float* v, long long stride, const float* dout, const float* lse,                    \
        const float* delta, float* dk, float* dv, const int* ends, const int* first, const int* tiles, int rows, int group,       \
        float scale) {                                                                                                            \
        backward_keys<DIM>(q, k, v, stride, dout, lse, delta, dk, dv, ends, first, tiles, rows, group, scale);                    \
    }
INSTANCES(64)
INSTANCES(128)

KERNEL(attention_forward_f32_64)
KERNEL(attention_forward_f32_128)
KERNEL(attention_backward_queries_f32_64)
KERNEL(attention_backward_queries_f32_128)
KERNEL(attention_backward_keys_f32_64)
KERNEL(attention_backward_keys_f32_128)
