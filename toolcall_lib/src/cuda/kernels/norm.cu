// RMSNorm (Zhang and Sennrich, 2019): y = x · w / sqrt(mean(x²) + eps). The length of a row is a
// multiple of four elements.

// One block per row. With `added`, sum = x + added is stored first, and is normalized.
template <typename T>
__device__ void rms_norm(const float* x, const T* added, float* sum, const float* w, float eps, T* y, int width) {
    const long long first = static_cast<long long>(blockIdx.x) * width;
    float squares = 0;
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        float value[4];
        load_four(x + first + i, value);
        if (added) {
            float more[4];
            load_four(added + first + i, more);
            for (int j = 0; j < 4; j++) value[j] += more[j];
            store_four(value, sum + first + i);
        }
        for (int j = 0; j < 4; j++) squares += value[j] * value[j];
    }
    const float scale = rsqrtf(block_sum(squares) / width + eps);
    const float* normalized = added ? sum : x;
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        float value[4], weight[4];
        load_four(normalized + first + i, value);
        load_four(w + i, weight);
        for (int j = 0; j < 4; j++) value[j] *= scale * weight[j];
        store_four(value, y + first + i);
    }
}

// dx += gradient of x, with a copy in `rounded` unless it is null. Each block leaves its share of
// the gradient of w in its row of `partial`, [blocks, width]. The rows are divided among the
// blocks.
template <typename T>
__device__ void rms_norm_backward(const float* x, const float* w, float eps, const T* dy, float* dx, T* rounded,
                                  float* partial, int rows, int width) {
    DYNAMIC_SHARED(shared);
    float* dw = reinterpret_cast<float*>(shared); // each thread has its own columns
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        for (int j = 0; j < 4; j++) dw[i + j] = 0;
    }
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        const long long first = static_cast<long long>(row) * width;
        // 1. Σ x² and Σ x · w · dy of the row.
        float squares = 0, product = 0;
        for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
            float value[4], weight[4], gradient[4];
            load_four(x + first + i, value);
            load_four(w + i, weight);
            load_four(dy + first + i, gradient);
            for (int j = 0; j < 4; j++) {
                squares += value[j] * value[j];
                product += value[j] * weight[j] * gradient[j];
            }
        }
        const float scale = rsqrtf(block_sum(squares) / width + eps);
        const float mean = block_sum(product) * scale / width;
        // 2. dw += dy · x̂ and dx += scale · (w · dy - x̂ · mean), with x̂ = x · scale.
        for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
            float value[4], weight[4], gradient[4], out[4];
            load_four(x + first + i, value);
            load_four(w + i, weight);
            load_four(dy + first + i, gradient);
            load_four(dx + first + i, out);
            for (int j = 0; j < 4; j++) {
                const float normalized = value[j] * scale;
                dw[i + j] += gradient[j] * normalized;
                out[j] += scale * (weight[j] * gradient[j] - normalized * mean);
            }
            store_four(out, dx + first + i);
            if (rounded) store_four(out, rounded + first + i);
        }
    }
    // 3. The block's share of dw.
    for (int i = threadIdx.x * 4; i < width; i += 4 * blockDim.x) {
        for (int j = 0; j < 4; j++) partial[static_cast<long long>(blockIdx.x) * width + i + j] = dw[i + j];
    }
}

// Sums the columns of x, [rows, width]. Blocks of 8 warps take 32 columns each; row y of the grid
// takes its share of the rows, and writes row y of `out` or adds to it.
template <typename T>
__device__ void sum_columns(const T* x, int rows, int width, float* out, int adds) {
    __shared__ float parts[8][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int column = blockIdx.x * WARP + lane;
    float sum = 0;
    if (column < width) {
        for (int row = blockIdx.y * 8 + warp; row < rows; row += 8 * gridDim.y) {
            sum += to_float(x[static_cast<long long>(row) * width + column]);
        }
    }
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= width) return;
    sum = 0;
    for (int other = 0; other < 8; other++) sum += parts[other][lane];
    float* place = out + static_cast<long long>(blockIdx.y) * width + column;
    *place = adds ? *place + sum : sum;
}

extern "C" __global__ void rms_norm_f32(const float* x, const float* added, float* sum, const float* w, float eps, float* y,
                                        int width) {
    rms_norm(x, added, sum, w, eps, y, width);
}
extern "C" __global__ void rms_norm_bf16(const float* x, const bf16* added, float* sum, const float* w, float eps, bf16* y,
                                         int width) {
    rms_norm(x, added, sum, w, eps, y, width);
}
extern "C" __global__ void rms_norm_backward_f32(const float* x, const float* w, float eps, const float* dy, float* dx,
                                                 float* rounded, float* partial, int rows, int width) {
    rms_norm_backward(x, w, eps, dy, dx, rounded, partial, rows, width);
}
extern "C" __global__ void rms_norm_backward_bf16(const float* x, const float* w, float eps, const bf16* dy, float* dx,
                                                  bf16* rounded, float* partial, int rows, int width) {
    rms_norm_backward(x, w, eps, dy, dx, rounded, partial, rows, width);
}
extern "C" __global__ void sum_columns_f32(const float* x, int rows, int width, float* out, int adds) {
    sum_columns(x, rows, width, out, adds);
}
extern "C" __global__ void sum_columns_bf16(const bf16* x, int rows, int width, float* out, int adds) {
    sum_columns(x, rows, width, out, adds);
}

KERNEL(rms_norm_f32)
KERNEL(rms_norm_bf16)
KERNEL(rms_norm_backward_f32)
KERNEL(rms_norm_backward_bf16)
KERNEL(sum_columns_f32)
KERNEL(sum_columns_bf16)
