// Copies that change the type or the place, and sums.

// y = x, rounded.
extern "C" __global__ void round_to_bf16(const float* x, bf16* y, long long elements, int rounding) {
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += threads) {
        y[i] = round_to(x[i], rounding);
    }
}

// y += x
extern "C" __global__ void add(const float* x, float* y, long long elements) {
    const long long threads = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += threads) {
        y[i] += x[i];
    }
}

// y[rows[i]] = x[i], or y[i] = x[i] if `rows` is null: the first `width` elements of rows that are
// x_stride and y_stride elements apart. One block per row.
template <typename T>
__device__ void store_rows(const T* x, long long x_stride, const unsigned* rows, T* y, long long y_stride, int width) {
    const T* from = x + blockIdx.x * x_stride;
    T* to = y + (rows ? rows[blockIdx.x] : blockIdx.x) * y_stride;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}

extern "C" __global__ void store_rows_f32(const float* x, long long x_stride, const unsigned* rows, float* y,
                                          long long y_stride, int width) {
    store_rows(x, x_stride, rows, y, y_stride, width);
}
extern "C" __global__ void store_rows_bf16(const bf16* x, long long x_stride, const unsigned* rows, bf16* y,
                                           long long y_stride, int width) {
    store_rows(x, x_stride, rows, y, y_stride, width);
}

KERNEL(round_to_bf16)
KERNEL(add)
KERNEL(store_rows_f32)
KERNEL(store_rows_bf16)
