// AdamW over flat buckets, with clipping by the norm of all gradients that never leaves the device.

// A block's share of Σ x² goes to partial[block].
extern "C" __global__ void sum_of_squares(const float* x, long long elements, double* partial) {
    double sum = 0;
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += threads) {
        sum += static_cast<double>(x[i]) * x[i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// From sums of squares to what gradients are multiplied with, out[0], and the norm of the mean gradient, out[1]. The mean is over
// `tokens`; a norm above `most` is scaled down to it, and 0 is no limit. Not a number where the norm is not finite. One block.
extern "C" __global__ void clip(const double* squares, int count, float tokens, float most, float* out) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += squares[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    const double norm = sqrt(sum) / tokens;
    const double factor = most > 0 ? fmin(1.0, most / (norm + 1e-6)) : 1.0;
    out[0] = static_cast<float>(norm - norm == 0 ? factor / tokens : norm - norm);
    out[1] = static_cast<float>(norm);
}

// One step of a run of weights; the gradients are set to zero for the next, and the weights rounded where there is room. Where the
// scale is not a number nothing changes.
extern "C" __global__ void adamw(float* w, float* g, float* m, float* v, bf16* rounded, int rounding, long long elements, float beta1,
                                 float beta2, float eps, float step_size, float root_correction, float keep,
                                 const float* scale) {
    const float factor = *scale;
    if (factor != factor) return;
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += threads) {
        const float gradient = g[i] * factor;
        const float mean = m[i] + (gradient - m[i]) * (1 - beta1);
        const float square = v[i] * beta2 + gradient * gradient * (1 - beta2);
        const float weight = w[i] * keep - step_size * mean / (sqrtf(square) * root_correction + eps);
        m[i] = mean;
        v[i] = square;
        w[i] = weight;
        g[i] = 0;
        if (rounded) rounded[i] = round_to(weight, rounding);
    }
}

KERNEL(sum_of_squares)
KERNEL(clip)
KERNEL(adamw)
