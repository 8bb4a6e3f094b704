// Cross-entropy of rows of logits, and its gradient.

// One block per row. Row r has the targets begins[r]..begins[r + 1] of `ids` and `weights`.
// sums[2r] becomes Σ w · (lse − logit), and sums[2r + 1] the weight of the target that argmax would
// choose: the first of the largest logits. `dlogits`, unless it is null, becomes the gradient,
// Σ w · (softmax − onehot). Rows are `stride` apart in both, a multiple of four.
template <typename T>
__device__ void cross_entropy(const float* logits, T* dlogits, long long stride, int vocabulary, const unsigned* begins,
                              const unsigned* ids, const float* weights, float* sums) {
    const float* row = logits + blockIdx.x * stride;
    // 1. Each thread keeps its own maximum and Σ e^(x − maximum), so that the row is read once.
    float most = LEAST, sum = 0;
    for (int i = 4 * threadIdx.x; i < vocabulary; i += 4 * blockDim.x) {
        float value[4];
        load_four(row + i, value);
        float here = most;
        for (int j = 0; j < 4; j++) here = i + j < vocabulary ? fmaxf(here, value[j]) : here;
        sum *= expf(most - here); // a factor of e^−∞ = 0 at first
        most = here;
        for (int j = 0; j < 4; j++) sum += i + j < vocabulary ? expf(value[j] - most) : 0;
    }
    const float largest = block_max(most);
    const float denominator = block_sum(sum * expf(most - largest));
    // 2. Loss of each target. A target counts as correct if no logit before it is as large.
    const unsigned begin = begins[blockIdx.x], end = begins[blockIdx.x + 1];
    float total = 0, loss = 0, correct = 0;
    for (unsigned t = begin; t < end; t++) {
        const float logit = row[ids[t]];
        total += weights[t];
        loss += weights[t] * (largest - logit + logf(denominator));
        if (logit != largest) continue; // all threads agree
        float before = LEAST; // the largest logit before the target
        for (unsigned i = threadIdx.x; i < ids[t]; i += blockDim.x) before = fmaxf(before, row[i]);
        correct += block_max(before) < largest ? weights[t] : 0;
    }
    if (threadIdx.x == 0) {
        sums[2 * blockIdx.x] = loss;
        sums[2 * blockIdx.x + 1] = correct;
    }
    if (!dlogits) return;
    // 3. Gradient; the one-hot part is subtracted before rounding.
    T* gradient = dlogits + blockIdx.x * stride;
    const float scale = total / denominator;
    for (int i = 4 * threadIdx.x; i < vocabulary; i += 4 * blockDim.x) {
        float value[4];
        load_four(row + i, value);
        for (int j = 0; j < 4; j++) value[j] = expf(value[j] - largest) * scale;
        for (unsigned t = begin; t < end; t++) {
            const int offset = static_cast<int>(ids[t]) - i;
            for (int j = 0; j < 4; j++) value[j] -= offset == j ? weights[t] : 0; // before rounding
        }
        store_four(value, gradient + i);
    }
}

// Adds the sums of the rows, which come in pairs, to `total`. One block.
extern "C" __global__ void sum_losses(const float* sums, int rows, double* total) {
    double loss = 0, correct = 0;
    for (int row = threadIdx.x; row < rows; row += blockDim.x) {
        loss += sums[2 * row];
        correct += sums[2 * row + 1];
    }
    loss = block_sum(loss);
    correct = block_sum(correct);
    if (threadIdx.x == 0) {
        total[0] += loss;
        total[1] += correct;
    }
}

extern "C" __global__ void cross_entropy_f32(const float* logits, float* dlogits, long long stride, int vocabulary,
                                             const unsigned* begins, const unsigned* ids, const float* weights,
                                             float* sums) {
    cross_entropy(logits, dlogits, stride, vocabulary, begins, ids, weights, sums);
}
extern "C" __global__ void cross_entropy_bf16(const float* logits, bf16* dlogits, long long stride, int vocabulary,
                                              const unsigned* begins, const unsigned* ids, const float* weights,
                                              float* sums) {
    cross_entropy(logits, dlogits, stride, vocabulary, begins, ids, weights, sums);
}

KERNEL(sum_losses)
KERNEL(cross_entropy_f32)
KERNEL(cross_entropy_bf16)
