// Turns the joint Q, K, V projection, [rows, (queries + 2 · keys) · dim], into heads in the same
// layout: bias, RMSNorm of each head of Q and K if the model has it, and rotation of Q and K by the
// position of the row (RoPE, Su et al., 2021). A warp works on a head; a lane has the pairs (i, i +
// dim / 2) for i = lane, lane + 32, …

constexpr int PAIRS = 4; // pairs of a lane: heads are at most 256 wide

// This lane's pairs of a head.
struct Head {
    float first[PAIRS], second[PAIRS];
};

// Reads a head and adds the bias.
template <typename T>
__device__ inline Head read_head(const T* x, const float* bias, int half, int lane) {
    Head head;
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
        const int i = lane + p * WARP;
        head.first[p] = i < half ? to_float(x[i]) + (bias ? bias[i] : 0) : 0;
        head.second[p] = i < half ? to_float(x[i + half]) + (bias ? bias[i + half] : 0) : 0;
    }
    return head;
}

// Writes a head.
template <typename T>
__device__ inline void write_head(const Head& head, T* y, int half, int lane) {
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
        const int i = lane + p * WARP;
        if (i >= half) continue;
        store(&y[i], head.first[p]);
        store(&y[i + half], head.second[p]);
    }
}

// Returns 1 / sqrt(mean(head²) + eps); `half` is dim / 2.
__device__ inline float inverse_rms(const Head& head, int half, float eps) {
    float squares = 0;
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
        squares += head.first[p] * head.first[p] + head.second[p] * head.second[p];
    }
    return rsqrtf(warp_sum(squares) / (2 * half) + eps);
}

// Rotates the pairs by their angles, or back if `direction` is -1. `angles` has the cosine and sine
// of each pair.
__device__ inline void rotate(Head& head, const float* angles, float direction, int half, int lane) {
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
        const int i = lane + p * WARP;
        if (i >= half) continue;
        const float cosine = angles[2 * i], sine = angles[2 * i + 1] * direction;
        const float a = head.first[p], b = head.second[p];
        head.first[p] = a * cosine - b * sine;
        head.second[p] = b * cosine + a * sine;
    }
}

// One block per row. `norms` are the weights for Q and, after them, for K, or null; `out` may be
// `qkv`.
template <typename T>
__device__ void split_heads(const T* qkv, const float* bias, const unsigned* positions, const float* table,
                            const float* norms, float eps, T* out, int queries, int keys, int dim) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, half = dim / 2;
    const int heads = queries + 2 * keys;
    const long long row = static_cast<long long>(blockIdx.x) * heads * dim;
    const float* angles = table + static_cast<long long>(positions[blockIdx.x]) * dim;
    for (int h = warp; h < heads; h += blockDim.x / WARP) {
        // Bias for all heads; norm and rotation for Q and K only.
        Head head = read_head(qkv + row + h * dim, bias ? bias + h * dim : nullptr, half, lane);
        if (h < queries + keys) {
            if (norms) {
                const float scale = inverse_rms(head, half, eps);
                const float* w = norms + (h < queries ? 0 : dim);
#pragma unroll
                for (int p = 0; p < PAIRS; p++) {
                    const int i = lane + p * WARP;
                    if (i >= half) continue;
                    head.first[p] *= scale * w[i];
                    head.second[p] *= scale * w[i + half];
                }
            }
            rotate(head, angles, 1, half, lane);
        }
        write_head(head, out + row + h * dim, half, lane);
    }
}

// Gradient of split_heads; `dqkv` may be `dheads`. The rows are divided among the blocks; each
// leaves its share of the gradient of `norms` in its row of `partial`, [blocks, 2 · dim].
template <typename T>
__device__ void split_heads_backward(const T* dheads, const T* qkv, const float* bias, const unsigned* positions,
                                     const float* table, const float* norms, float eps, T* dqkv, float* partial,
                                     int rows, int queries, int keys, int dim) {
    DYNAMIC_SHARED(shared);
    // [warps, 2 · dim]; each lane has its own columns
    float* dnorms = reinterpret_cast<float*>(shared);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, half = dim / 2;
    const int warps = blockDim.x / WARP, heads = queries + 2 * keys;
    if (norms) {
        for (int i = threadIdx.x; i < warps * 2 * dim; i += blockDim.x) dnorms[i] = 0;
        __syncthreads();
    }
    for (int r = blockIdx.x; r < rows; r += gridDim.x) {
        const long long row = static_cast<long long>(r) * heads * dim;
        const float* angles = table + static_cast<long long>(positions[r]) * dim;
        for (int h = warp; h < heads; h += warps) {
            // 1. Rotate the gradient back.
            Head dy = read_head(dheads + row + h * dim, nullptr, half, lane);
            if (h < queries + keys) {
                rotate(dy, angles, -1, half, lane);
                if (norms) {
                    // 2. Norm, with x̂ = x · scale: dw += dy · x̂ and dx = scale · (w · dy - x̂ ·
                    //    mean(w · dy · x̂)).
                    const Head x = read_head(qkv + row + h * dim, bias ? bias + h * dim : nullptr, half, lane);
                    const int of = h < queries ? 0 : dim;
                    const float* w = norms + of;
                    float* dw = dnorms + warp * 2 * dim + of;
                    const float scale = inverse_rms(x, half, eps);
                    float product = 0;
#pragma unroll
                    for (int p = 0; p < PAIRS; p++) {
                        const int i = lane + p * WARP;
                        if (i >= half) continue;
                        dw[i] += dy.first[p] * x.first[p] * scale;
                        dw[i + half] += dy.second[p] * x.second[p] * scale;
                        dy.first[p] *= w[i];
                        dy.second[p] *= w[i + half];
                        product += dy.first[p] * x.first[p] + dy.second[p] * x.second[p];
                    }
                    const float mean = warp_sum(product) * scale / dim;
#pragma unroll
                    for (int p = 0; p < PAIRS; p++) {
                        dy.first[p] = scale * (dy.first[p] - x.first[p] * scale * mean);
                        dy.second[p] = scale * (dy.second[p] - x.second[p] * scale * mean);
                    }
                }
            }
            write_head(dy, dqkv + row + h * dim, half, lane);
        }
    }
    // 3. Sum the warps' shares of the norms' gradient.
    if (!norms) return;
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * dim; i += blockDim.x) {
        float sum = 0;
        for (int other = 0; other < warps; other++) sum += dnorms[other * 2 * dim + i];
        partial[static_cast<long long>(blockIdx.x) * 2 * dim + i] = sum;
    }
}

extern "C" __global__ void split_heads_f32(const float* qkv, const float* bias, const unsigned* positions, const float* table,
                                           const float* norms, float eps, float* out, int queries, int keys, int dim) {
    split_heads(qkv, bias, positions, table, norms, eps, out, queries, keys, dim);
}
extern "C" __global__ void split_heads_bf16(const bf16* qkv, const float* bias, const unsigned* positions, const float* table,
                                            const float* norms, float eps, bf16* out, int queries, int keys, int dim) {
    split_heads(qkv, bias, positions, table, norms, eps, out, queries, keys, dim);
}
extern "C" __global__ void split_heads_backward_f32(const float* dheads, const float* qkv, const float* bias,
                                                    const unsigned* positions, const float* table, const float* norms,
                                                    float eps, float* dqkv, float* partial, int rows, int queries,
                                                    int keys, int dim) {
    split_heads_backward(dheads, qkv, bias, positions, table, norms, eps, dqkv, partial, rows, queries, keys, dim);
}
extern "C" __global__ void split_heads_backward_bf16(const bf16* dheads, const bf16* qkv, const float* bias,
                                                     const unsigned* positions, const float* table, const float* norms,
                                                     float eps, bf16* dqkv, float* partial, int rows, int queries,
                                                     int keys, int dim) {
    split_heads_backward(dheads, qkv, bias, positions, table, norms, eps, dqkv, partial, rows, queries, keys, dim);
}

KERNEL(split_heads_f32)
KERNEL(split_heads_bf16)
KERNEL(split_heads_backward_f32)
KERNEL(split_heads_backward_bf16)
