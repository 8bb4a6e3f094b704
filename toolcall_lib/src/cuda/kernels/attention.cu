// Attention over a packed tree, flash style (Dao, "FlashAttention-2", 2023). The scores of a tile
// live in registers, their softmax is updated as key tiles go by, and the backward pass computes
// them again from the saved log-sum-exp.
//
// Rows are in depth-first order, so the rows that see a key are a range: row r sees key c if c <= r
// < ends[c]. For each query tile the host lists the key tiles that it sees, as tile * 2, plus 1 if
// some pair is hidden; for each key tile, likewise, the query tiles. All tiles have 64 rows,
// wherever segments end, and one number per key replaces the mask.
//
// All queries see the first keys of a tree, so the query tiles of a key tile are divided into runs;
// a block sums dk and dv over one run, and another kernel adds up the runs of a tile.
//
// Queries, keys, values and their gradients are [rows, heads, dim] with any stride between rows:
// parts of one joint projection.
//
// Sizes (bf16): 4 warps of 16 rows each. Tiles of 64 rows fill a warp's 16 x 8 products and leave,
// at dim 128, 64 registers for each [16, dim] of sums. Forward and dq hold two key and two value
// tiles, so that one is copied while the other is multiplied: 36 KiB at dim 64, 68 KiB at 128,
// which lets two blocks run on a multiprocessor of sm_80 (164 KiB) and three on sm_90 (228 KiB). dk
// and dv need four tiles at once, 68 KiB at dim 128, and two more for the copies only at dim 64 (54
// KiB): with 99 KiB that suits sm_86 and sm_89 as well.

constexpr int TILE = 64;
constexpr int THREADS = 128;
constexpr float LOG2_E = 1.4426950408889634f;

// Elements from one row of a tile in shared memory to the next: 16 bytes more than a row, so that
// the eight rows that ldmatrix reads for a matrix lie in different banks.
__device__ constexpr int padded(int dim) { return dim + 8; }

// Starts copying 64 rows of a head; rows beyond the last one become zeros. With `places`, row i is
// kept at places[i].
template <int DIM>
__device__ __forceinline__ void copy_tile(bf16* to, const bf16* from, long long stride, int first, int rows,
                                          const int* places = nullptr) {
    constexpr int PIECES = DIM / 8;
    for (int i = (int)threadIdx.x; i < TILE * PIECES; i += THREADS) {
        int row = i / PIECES, piece = i % PIECES;
        bool there = first + row < rows;
        int place = !there ? 0 : places ? places[first + row] : first + row;
        const bf16* at = from + place * stride + piece * 8;
        copy_async(to + row * padded(DIM) + piece * 8, at, there);
    }
}

// Loads the left operand of a product: 16 rows and 16 columns of a tile.
template <int DIM>
__device__ __forceinline__ void left(unsigned a[4], const bf16* tile, int row, int column) {
    int lane = (int)threadIdx.x % 32;
    ldmatrix_x4(a, tile + (row + lane % 16) * padded(DIM) + column + lane / 16 * 8);
}

// Loads two right operands: rows row..row + 16 of a tile are the columns of the product, which sums
// over the tile's 16 columns.
template <int DIM>
__device__ __forceinline__ void right_transposed(unsigned b[4], const bf16* tile, int row, int column) {
    int lane = (int)threadIdx.x % 32;
    ldmatrix_x4(b, tile + (row + lane % 8 + lane / 16 * 8) * padded(DIM) + column + lane / 8 % 2 * 8);
}

// Loads two right operands: columns column..column + 16 of a tile are the columns of the product,
// which sums over the tile's 16 rows.
template <int DIM>
__device__ __forceinline__ void right(unsigned b[4], const bf16* tile, int row, int column) {
    int lane = (int)threadIdx.x % 32;
    ldmatrix_x4_trans(b, tile + (row + lane % 16) * padded(DIM) + column + lane / 16 * 8);
}

// Computes sums[16, 8 N] += a[16, dim] * b[rows row.. of a tile, dim]^T, with a in registers.
template <int DIM, int N>
__device__ __forceinline__ void multiply_transposed(float sums[N][4], const unsigned a[DIM / 16][4], const bf16* tile, int row) {
#pragma unroll
    for (int k = 0; k < DIM / 16; k++)
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned b[4];
            right_transposed<DIM>(b, tile, row + n * 8, k * 16);
            mma_m16n8k16_bf16(sums[n], a[k], b);
            mma_m16n8k16_bf16(sums[n + 1], a[k], b + 2);
        }
}

// Computes multiply_transposed with a in 16 rows of another tile.
template <int DIM, int N>
__device__ __forceinline__ void multiply_tiles(float sums[N][4], const bf16* of_a, int row_a, const bf16* tile, int row) {
#pragma unroll
    for (int k = 0; k < DIM / 16; k++) {
        unsigned a[4];
        left<DIM>(a, of_a, row_a, k * 16);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            unsigned b[4];
            right_transposed<DIM>(b, tile, row + n * 8, k * 16);
            mma_m16n8k16_bf16(sums[n], a, b);
            mma_m16n8k16_bf16(sums[n + 1], a, b + 2);
        }
    }
}

// Computes sums[16, dim] += weights[16, 8 N] * tile[rows row.., dim]. The sums of one product are,
// rounded, the left operand of the next.
template <int DIM, int N>
__device__ __forceinline__ void multiply_weights(float sums[DIM / 8][4], const float weights[N][4], const bf16* tile, int row) {
#pragma unroll
    for (int k = 0; k < N; k += 2) {
        const unsigned a[4] = {pack_bf16(weights[k][0], weights[k][1]), pack_bf16(weights[k][2], weights[k][3]),
                               pack_bf16(weights[k + 1][0], weights[k + 1][1]), pack_bf16(weights[k + 1][2], weights[k + 1][3])};
#pragma unroll
        for (int n = 0; n < DIM / 8; n += 2) {
            unsigned b[4];
            right<DIM>(b, tile, row + k * 8, n * 8);
            mma_m16n8k16_bf16(sums[n], a, b);
            mma_m16n8k16_bf16(sums[n + 1], a, b + 2);
        }
    }
}

// Sets sums to zero.
template <int N>
__device__ __forceinline__ void clear(float sums[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sums[n][i] = 0.0f;
}

// Writes two rows of a warp's sums, the upper and the lower one times its own factor.
template <int DIM>
__device__ __forceinline__ void store_rows(bf16* to, long long stride, int row, int rows, const float sums[DIM / 8][4],
                                           float upper, float lower) {
    int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (row + half * 8 >= rows) continue;
        bf16* at = to + (row + half * 8) * stride + column;
        float factor = half ? lower : upper;
#pragma unroll
        for (int n = 0; n < DIM / 8; n++)
            *reinterpret_cast<unsigned*>(at + n * 8) = pack_bf16(sums[n][2 * half] * factor, sums[n][2 * half + 1] * factor);
    }
}

// Writes two rows of a warp's sums in f32; `to` is [TILE, DIM].
template <int DIM>
__device__ __forceinline__ void store_partial(float* to, int row, const float sums[DIM / 8][4]) {
    int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int n = 0; n < DIM / 8; n++) {
            float* at = to + (row + half * 8) * DIM + column + n * 8;
            at[0] = sums[n][2 * half];
            at[1] = sums[n][2 * half + 1];
        }
}

// out[row] = softmax(scale * q[row] * k^T) * v, and lse[row] = log-sum-exp of the scores. Over a
// cache, `at_keys` has the row of each query among the keys, and `places` the cache slot of each
// key; without them both are the rows themselves. grid: (query heads, query tiles); `group` query
// heads share a key head.
template <int DIM>
__device__ __forceinline__ void forward(const bf16* q, long long q_stride, const bf16* k, const bf16* v, long long kv_stride,
                                        bf16* out, float* lse, const int* ends, const int* first, const int* tiles, int rows,
                                        int key_rows, const int* at_keys, const int* places, int group, float scale) {
    DYNAMIC_SHARED(shared);
    constexpr int SIZE = TILE * padded(DIM);
    bf16* keys = reinterpret_cast<bf16*>(shared);
    bf16* values = keys + 2 * SIZE;
    int heads = (int)gridDim.x, head = (int)blockIdx.x;
    int tile = (int)(gridDim.y - 1 - blockIdx.y); // the last tiles see most, so they begin first
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int row = tile * TILE + warp * 16 + lane / 4; // this lane has this row and the eighth after it
    q += head * DIM;
    k += head / group * DIM;
    v += head / group * DIM;
    int at = first[tile], end = first[tile + 1];
    int stands[2] = {row, row + 8};
    if (at_keys)
        for (int half = 0; half < 2; half++) stands[half] = at_keys[min(stands[half], rows - 1)];

    // 1. Load the queries, [16, DIM] per warp, through a buffer that is not in use yet, and the
    //    first tile.
    copy_tile<DIM>(keys + SIZE, q, q_stride, tile * TILE, rows);
    copy_commit();
    copy_tile<DIM>(keys, k, kv_stride, tiles[at] / 2 * TILE, key_rows, places);
    copy_tile<DIM>(values, v, kv_stride, tiles[at] / 2 * TILE, key_rows, places);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    unsigned query[DIM / 16][4];
#pragma unroll
    for (int i = 0; i < DIM / 16; i++) left<DIM>(query[i], keys + SIZE, warp * 16, i * 16);

    // 2. Over the key tiles. sums: [16, DIM] per warp.
    float sums[DIM / 8][4], most[2] = {LEAST, LEAST}, total[2] = {0.0f, 0.0f};
    clear<DIM / 8>(sums);
    for (int stage = 0; at < end; at++, stage ^= 1) {
        copy_wait<0>();
        __syncthreads(); // this tile has arrived, and no thread reads the one before it
        if (at + 1 < end) {
            copy_tile<DIM>(keys + (stage ^ 1) * SIZE, k, kv_stride, tiles[at + 1] / 2 * TILE, key_rows, places);
            copy_tile<DIM>(values + (stage ^ 1) * SIZE, v, kv_stride, tiles[at + 1] / 2 * TILE, key_rows, places);
            copy_commit();
        }
        // 2a. Scores: [16, TILE] per warp; hidden pairs become -inf.
        float scores[TILE / 8][4];
        clear<TILE / 8>(scores);
        multiply_transposed<DIM, TILE / 8>(scores, query, keys + stage * SIZE, 0);
        if (tiles[at] % 2) {
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int key = tiles[at] / 2 * TILE + n * 8 + lane % 4 * 2 + i % 2;
                    if (key > stands[i / 2] || stands[i / 2] >= ends[key]) scores[n][i] = LEAST;
                }
        }
        // 2b. Online softmax of the lane's two rows. Four lanes share a row.
#pragma unroll
        for (int half = 0; half < 2; half++) {
            // The row's maximum so far.
            float high = most[half];
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) high = fmaxf(high, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
            high = fmaxf(high, __shfl_xor_sync(EVERY_LANE, high, 1));
            high = fmaxf(high, __shfl_xor_sync(EVERY_LANE, high, 2));
            // A row may see nothing of its first tiles.
            float base = high == LEAST ? 0.0f : high * (scale * LOG2_E);
            float kept = exp2f(most[half] * (scale * LOG2_E) - base);
            most[half] = high;
            total[half] *= kept;
            // Weights and denominator, relative to the maximum.
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    scores[n][i] = exp2f(scores[n][i] * (scale * LOG2_E) - base);
                    total[half] += scores[n][i];
                }
            // Older sums, rescaled to the maximum.
#pragma unroll
            for (int n = 0; n < DIM / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) sums[n][i] *= kept;
        }
        // 2c. sums[16, DIM] += weights * values.
        multiply_weights<DIM, TILE / 8>(sums, scores, values + stage * SIZE, 0);
    }
    // 3. Divide by the denominator, and save the log-sum-exp.
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        total[half] += __shfl_xor_sync(EVERY_LANE, total[half], 1);
        total[half] += __shfl_xor_sync(EVERY_LANE, total[half], 2);
        factor[half] = 1.0f / total[half];
        if (lane % 4 == 0 && row + half * 8 < rows)
            lse[(long long)(row + half * 8) * heads + head] = most[half] * scale + logf(total[half]);
    }
    store_rows<DIM>(out + head * DIM, (long long)heads * DIM, row, rows, sums, factor[0], factor[1]);
}

// Turns a score into its softmax weight p, and the gradient dp of the weight into that of the
// scaled score: p * (dp - delta).
__device__ __forceinline__ void softmax_gradient(float& score, float& gradient, bool seen, float scale, float lse, float delta) {
    score = seen ? exp2f((score * scale - lse) * LOG2_E) : 0.0f;
    gradient = score * (gradient - delta);
}

// dq of a query tile and head. grid: (query heads, query tiles).
template <int DIM>
__device__ __forceinline__ void backward_queries(const bf16* q, const bf16* k, const bf16* v, long long stride, const bf16* dout,
                                                 const float* lse, const float* delta, bf16* dq, const int* ends,
                                                 const int* first, const int* tiles, int rows, int group, float scale) {
    DYNAMIC_SHARED(shared);
    // PART: keys whose scores are in registers at a time
    constexpr int SIZE = TILE * padded(DIM), PART = 32;
    bf16* keys = reinterpret_cast<bf16*>(shared);
    bf16* values = keys + 2 * SIZE;
    int heads = (int)gridDim.x, head = (int)blockIdx.x;
    int tile = (int)(gridDim.y - 1 - blockIdx.y);
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int row = tile * TILE + warp * 16 + lane / 4;
    q += head * DIM;
    k += head / group * DIM;
    v += head / group * DIM;
    int at = first[tile], end = first[tile + 1];

    // 1. Load queries and gradients of the output, then the first tile of keys and values.
    copy_tile<DIM>(keys + SIZE, q, stride, tile * TILE, rows);
    copy_tile<DIM>(values + SIZE, dout + head * DIM, (long long)heads * DIM, tile * TILE, rows);
    copy_commit();
    copy_tile<DIM>(keys, k, stride, tiles[at] / 2 * TILE, rows);
    copy_tile<DIM>(values, v, stride, tiles[at] / 2 * TILE, rows);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    unsigned query[DIM / 16][4], of_out[DIM / 16][4];
#pragma unroll
    for (int i = 0; i < DIM / 16; i++) {
        left<DIM>(query[i], keys + SIZE, warp * 16, i * 16);
        left<DIM>(of_out[i], values + SIZE, warp * 16, i * 16);
    }
    float of_row[2][2]; // lse and delta
#pragma unroll
    for (int half = 0; half < 2; half++) {
        long long place = (long long)(row + half * 8) * heads + head;
        of_row[half][0] = row + half * 8 < rows ? lse[place] : 0.0f;
        of_row[half][1] = row + half * 8 < rows ? delta[place] : 0.0f;
    }
    // 2. Over the key tiles: sums = dq [16, DIM] per warp.
    float sums[DIM / 8][4];
    clear<DIM / 8>(sums);
    for (int stage = 0; at < end; at++, stage ^= 1) {
        copy_wait<0>();
        __syncthreads();
        if (at + 1 < end) {
            copy_tile<DIM>(keys + (stage ^ 1) * SIZE, k, stride, tiles[at + 1] / 2 * TILE, rows);
            copy_tile<DIM>(values + (stage ^ 1) * SIZE, v, stride, tiles[at + 1] / 2 * TILE, rows);
            copy_commit();
        }
#pragma unroll 1
        for (int part = 0; part < TILE; part += PART) {
            // 2a. Scores and gradients of the weights: [16, PART] per warp.
            float scores[PART / 8][4], gradients[PART / 8][4];
            clear<PART / 8>(scores);
            clear<PART / 8>(gradients);
            multiply_transposed<DIM, PART / 8>(scores, query, keys + stage * SIZE, part);
            multiply_transposed<DIM, PART / 8>(gradients, of_out, values + stage * SIZE, part);
            // 2b. Gradients of the scores.
#pragma unroll
            for (int n = 0; n < PART / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int key = tiles[at] / 2 * TILE + part + n * 8 + lane % 4 * 2 + i % 2, place = row + i / 2 * 8;
                    bool seen = tiles[at] % 2 == 0 || (key <= place && place < ends[key]);
                    softmax_gradient(scores[n][i], gradients[n][i], seen, scale, of_row[i / 2][0], of_row[i / 2][1]);
                }
            // 2c. dq += dscores * keys.
            multiply_weights<DIM, PART / 8>(sums, gradients, keys + stage * SIZE, part);
        }
    }
    store_rows<DIM>(dq + head * DIM, stride, row, rows, sums, scale, scale);
}

// dk and dv of a key tile and key head, summed over a run of query tiles and the query heads that
// share the key head. `runs` has [key tile, first entry of `tiles`, end, slot] for each run. The
// sums of a run with a slot go to partial[slot, key head]. Those of the only run of a tile go to dk
// and dv.
// grid: (key heads, runs).
template <int DIM>
__device__ __forceinline__ void backward_keys(const bf16* q, const bf16* k, const bf16* v, long long stride, const bf16* dout,
                                              const float* lse, const float* delta, bf16* dk, bf16* dv, float* partial,
                                              const int* ends, const int* runs, const int* tiles, int rows, int group,
                                              float scale) {
    DYNAMIC_SHARED(shared);
    constexpr int SIZE = TILE * padded(DIM), STAGES = DIM > 64 ? 1 : 2, PART = 32;
    bf16* keys = reinterpret_cast<bf16*>(shared);
    bf16* values = keys + SIZE;
    bf16* queries = values + SIZE;
    bf16* of_out = queries + STAGES * SIZE;
    // lse and delta of each row
    float(*of_rows)[2][TILE] = reinterpret_cast<float(*)[2][TILE]>(of_out + STAGES * SIZE);
    int heads = (int)gridDim.x * group, key_head = (int)blockIdx.x;
    runs += 4 * (int)blockIdx.y;
    int tile = runs[0], begin = runs[1], count = runs[2] - begin, slot = runs[3];
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int key = tile * TILE + warp * 16 + lane / 4;

    // Starts copying query tile i: all tiles of the first head, then those of the next.
    auto copy = [&](int i) {
        int stage = i % STAGES, head = key_head * group + i / count, row = tiles[begin + i % count] / 2 * TILE;
        copy_tile<DIM>(queries + stage * SIZE, q + head * DIM, stride, row, rows);
        copy_tile<DIM>(of_out + stage * SIZE, dout + head * DIM, (long long)heads * DIM, row, rows);
        copy_commit();
        if (threadIdx.x < TILE) {
            row += (int)threadIdx.x;
            of_rows[stage][0][threadIdx.x] = row < rows ? lse[(long long)row * heads + head] : 0.0f;
            of_rows[stage][1][threadIdx.x] = row < rows ? delta[(long long)row * heads + head] : 0.0f;
        }
    };
    // 1. Load keys and values, then the first tile of queries.
    copy_tile<DIM>(keys, k + key_head * DIM, stride, tile * TILE, rows);
    copy_tile<DIM>(values, v + key_head * DIM, stride, tile * TILE, rows);
    copy(0);
    // Ends of the lane's two keys; 0 beyond the last row.
    int end_of_key[2];
#pragma unroll
    for (int half = 0; half < 2; half++) end_of_key[half] = ends[key + half * 8];
    float dk_sums[DIM / 8][4], dv_sums[DIM / 8][4];
    clear<DIM / 8>(dk_sums);
    clear<DIM / 8>(dv_sums);
    // 2. Over the query heads and their tiles.
    for (int i = 0; i < count * group; i++) {
        int stage = i % STAGES, entry = tiles[begin + i % count];
        copy_wait<0>();
        __syncthreads();
        if (STAGES == 2 && i + 1 < count * group) copy(i + 1);
#pragma unroll 1
        for (int part = 0; part < TILE; part += PART) {
            // 2a. Transposed scores and gradients of the weights: [16 keys, PART queries] per warp.
            float scores[PART / 8][4], gradients[PART / 8][4];
            clear<PART / 8>(scores);
            clear<PART / 8>(gradients);
            multiply_tiles<DIM, PART / 8>(scores, keys, warp * 16, queries + stage * SIZE, part);
            multiply_tiles<DIM, PART / 8>(gradients, values, warp * 16, of_out + stage * SIZE, part);
            // 2b. Weights and gradients of the scores.
#pragma unroll
            for (int n = 0; n < PART / 8; n++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int column = part + n * 8 + lane % 4 * 2 + j % 2, row = entry / 2 * TILE + column;
                    bool seen = entry % 2 == 0 || (key + j / 2 * 8 <= row && row < end_of_key[j / 2]);
                    softmax_gradient(scores[n][j], gradients[n][j], seen, scale, of_rows[stage][0][column],
                                     of_rows[stage][1][column]);
                }
            // 2c. dv += p^T * dout, dk += dscores^T * q.
            multiply_weights<DIM, PART / 8>(dv_sums, scores, of_out + stage * SIZE, part);
            multiply_weights<DIM, PART / 8>(dk_sums, gradients, queries + stage * SIZE, part);
        }
        if (STAGES == 1 && i + 1 < count * group) {
            __syncthreads(); // no thread reads the only buffer any more
            copy(i + 1);
        }
    }
    // 3. Store them, or leave them to `join_runs`.
    if (slot < 0) {
        store_rows<DIM>(dk + key_head * DIM, stride, key, rows, dk_sums, scale, scale);
        store_rows<DIM>(dv + key_head * DIM, stride, key, rows, dv_sums, 1.0f, 1.0f);
        return;
    }
    partial += ((long long)slot * gridDim.x + key_head) * 2 * TILE * DIM;
    store_partial<DIM>(partial, warp * 16 + lane / 4, dk_sums);
    store_partial<DIM>(partial + TILE * DIM, warp * 16 + lane / 4, dv_sums);
}

// dk and dv of the key tiles that have several runs: `several` has [key tile, first slot, end] for
// each. partial: [slots, key heads, 2, TILE, DIM]. grid: (key heads, such tiles, TILE / JOINED).
constexpr int JOINED = 8; // rows of a block
template <int DIM>
__device__ __forceinline__ void join_runs(const float* partial, const int* several, bf16* dk, bf16* dv, long long stride, int rows,
                                          float scale) {
    several += 3 * (int)blockIdx.y;
    for (int i = 4 * (int)threadIdx.x; i < 2 * JOINED * DIM; i += 4 * THREADS) {
        int which = i / (JOINED * DIM), row = (int)blockIdx.z * JOINED + i / DIM % JOINED, column = i % DIM;
        int key = several[0] * TILE + row;
        if (key >= rows) continue;
        float sum[4] = {};
        for (int slot = several[1]; slot < several[2]; slot++) {
            float part[4];
            load_four(partial + ((((long long)slot * gridDim.x + blockIdx.x) * 2 + which) * TILE + row) * DIM + column, part);
            for (int j = 0; j < 4; j++) sum[j] += part[j];
        }
        for (int j = 0; j < 4; j++) sum[j] *= which ? 1.0f : scale;
        store_four(sum, (which ? dv : dk) + key * stride + blockIdx.x * DIM + column);
    }
}

// delta[row, head] = Σ dout * out over the head. One warp each; grid: rows * heads / 4 blocks.
template <class T>
__device__ __forceinline__ void row_products(const T* dout, const T* out, float* delta, long long count, int dim) {
    long long i = (long long)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (i >= count) return;
    float sum = 0.0f;
    for (int d = (int)threadIdx.x % 32; d < dim; d += 32) sum += to_float(dout[i * dim + d]) * to_float(out[i * dim + d]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) delta[i] = sum;
}

extern "C" __global__ void attention_delta_bf16(const bf16* dout, const bf16* out, float* delta, long long count, int dim) {
    row_products(dout, out, delta, count, dim);
}
extern "C" __global__ void attention_delta_f32(const float* dout, const float* out, float* delta, long long count, int dim) {
    row_products(dout, out, delta, count, dim);
}

#define INSTANCES(DIM)                                                                                                            \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_forward_bf16_##DIM(                                           \
        const bf16* q, long long q_stride, const bf16* k, const bf16* v, long long kv_stride, bf16* out, float* lse,              \
        const int* ends, const int* first, const int* tiles, int rows, int key_rows, const int* at, const int* places, int group, \
        float scale) {                                                                                                            \
        forward<DIM>(q, q_stride, k, v, kv_stride, out, lse, ends, first, tiles, rows, key_rows, at, places, group, scale);       \
    }                                                                                                                             \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_backward_queries_bf16_##DIM(                                  \
        const bf16* q, const bf16* k, const bf16* v, long long stride, const bf16* dout, const float* lse, const float* delta,    \
        bf16* dq, const int* ends, const int* first, const int* tiles, int rows, int group, float scale) {                        \
        backward_queries<DIM>(q, k, v, stride, dout, lse, delta, dq, ends, first, tiles, rows, group, scale);                     \
    }                                                                                                                             \
    extern "C" __global__ __launch_bounds__(THREADS) void attention_backward_keys_bf16_##DIM(                                     \
        const bf16* q, const bf16* k, const bf16* v, long long stride, const bf16* dout, const float* lse, const float* delta,    \
        bf16* dk, bf16* dv, float* partial, const int* ends, const int* runs, const int* tiles, int rows, int group,              \
        float scale) {                                                                                                            \
        backward_keys<DIM>(q, k, v, stride, dout, lse, delta, dk, dv, partial, ends, runs, tiles, rows, group, scale);            \
    }                                                                                                                             \
    extern "C" __global__ void attention_join_runs_bf16_##DIM(const float* partial, const int* several, bf16* dk, bf16* dv,       \
                                                              long long stride, int rows, float scale) {                          \
        join_runs<DIM>(partial, several, dk, dv, stride, rows, scale);                                                            \
    }
INSTANCES(64)
INSTANCES(128)

KERNEL(attention_delta_bf16)
KERNEL(attention_delta_f32)
KERNEL(attention_forward_bf16_64)
KERNEL(attention_forward_bf16_128)
KERNEL(attention_backward_queries_bf16_64)
KERNEL(attention_backward_queries_bf16_128)
KERNEL(attention_backward_keys_bf16_64)
KERNEL(attention_backward_keys_bf16_128)
KERNEL(attention_join_runs_bf16_64)
KERNEL(attention_join_runs_bf16_128)
