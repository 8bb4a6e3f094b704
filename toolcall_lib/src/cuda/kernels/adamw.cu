// AdamW (Loshchilov and Hutter, 2019) over flat buckets, clipped by the norm of all gradients,
// which never leaves the device.

// Returns true if x is aligned for loads of four elements. A run of weights may begin anywhere;
// only if all its arrays are aligned does it go four elements at a time.
__device__ __forceinline__ bool in_fours(const void* x, int bytes = 16) {
    return reinterpret_cast<unsigned long long>(x) % bytes == 0;
}

// Writes the block's share of Σ x² to partial[block].
extern "C" __global__ void sum_of_squares(const float* x, long long elements, double* partial) {
    double sum = 0;
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long thread = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long fours = in_fours(x) ? elements / 4 : 0;
    for (long long i = thread; i < fours; i += threads) {
        float value[4];
        load_four(x + 4 * i, value);
        for (int j = 0; j < 4; j++) sum += static_cast<double>(value[j]) * value[j];
    }
    for (long long i = 4 * fours + thread; i < elements; i += threads) sum += static_cast<double>(x[i]) * x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// Computes out[0], the factor for the gradients, and out[1], the norm of the mean gradient, from
// sums of squares. The mean is over `tokens`; a norm above `most` is scaled down to it, and 0 is no
// limit. 1e-6 is that of PyTorch's clip_grad_norm_. The factor is NaN if the norm is not finite.
// One block.
extern "C" __global__ void clip(const double* squares, int count, float tokens, float most, float* out) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += squares[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    const double norm = sqrt(sum) / tokens;
    const double factor = most > 0 ? fmin(1.0, most / (norm + 1e-6)) : 1.0;
    // norm - norm is 0 for a finite norm, and NaN otherwise.
    out[0] = static_cast<float>(norm - norm == 0 ? factor / tokens : norm - norm);
    out[1] = static_cast<float>(norm);
}

struct AdamW {
    float beta1, beta2, eps, step_size, root_correction, keep;

    // One step of one weight; `keep` is 1 - learning rate * weight decay.
    __device__ __forceinline__ void step(float& weight, float gradient, float& mean, float& square) const {
        mean += (gradient - mean) * (1 - beta1);
        square = square * beta2 + gradient * gradient * (1 - beta2);
        weight = weight * keep - step_size * mean / (sqrtf(square) * root_correction + eps);
    }
};

// Steps a run of weights, w, g, m, v [elements]; sets the gradients to zero for the next step, and
// writes the rounded weights if `rounded` is not null. Changes nothing if the scale is NaN.
extern "C" __global__ void adamw(float* w, float* g, float* m, float* v, bf16* rounded, int rounding, long long elements, float beta1,
                                 float beta2, float eps, float step_size, float root_correction, float keep,
                                 const float* scale) {
    const float factor = *scale;
    if (factor != factor) return;
    const AdamW adamw = {beta1, beta2, eps, step_size, root_correction, keep};
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long thread = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    // 1. Four elements at a time, if all arrays are aligned.
    const bool aligned = in_fours(w) && in_fours(g) && in_fours(m) && in_fours(v) && in_fours(rounded, 8);
    const long long fours = aligned ? elements / 4 : 0;
    for (long long i = thread; i < fours; i += threads) {
        float weight[4], gradient[4], mean[4], square[4];
        load_four(w + 4 * i, weight);
        load_four(g + 4 * i, gradient);
        load_four(m + 4 * i, mean);
        load_four(v + 4 * i, square);
        Four<bf16> copy;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            adamw.step(weight[j], gradient[j] * factor, mean[j], square[j]);
            copy.at[j] = round_to(weight[j], rounding);
            gradient[j] = 0;
        }
        store_four(weight, w + 4 * i);
        store_four(gradient, g + 4 * i);
        store_four(mean, m + 4 * i);
        store_four(square, v + 4 * i);
        if (rounded) *reinterpret_cast<Four<bf16>*>(rounded + 4 * i) = copy;
    }
    // 2. The rest, one by one.
    for (long long i = 4 * fours + thread; i < elements; i += threads) {
        adamw.step(w[i], g[i] * factor, m[i], v[i]);
        g[i] = 0;
        if (rounded) rounded[i] = round_to(w[i], rounding);
    }
}

KERNEL(sum_of_squares)
KERNEL(clip)
KERNEL(adamw)
