// Lookups of table rows by id, and sums of rows with the same id. The length of a row is a multiple
// of four elements.

// y[i] = table[ids[i]], rows of `width` elements. One block per row.
template <typename T>
__device__ void gather_rows(const T* table, const unsigned* ids, float* y, int width) {
    const T* from = table + static_cast<long long>(ids[blockIdx.x]) * width;
    float* to = y + static_cast<long long>(blockIdx.x) * width;
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        float value[4];
        load_four(from + i, value);
        store_four(value, to + i);
    }
}

extern "C" __global__ void gather_rows_f32(const float* table, const unsigned* ids, float* y, int width) {
    gather_rows(table, ids, y, width);
}
extern "C" __global__ void gather_rows_bf16(const bf16* table, const unsigned* ids, float* y, int width) {
    gather_rows(table, ids, y, width);
}

// y[ids[i]] += Σ x[r] over the rows r = order[begins[i]..begins[i + 1]], in that order. One block
// for each id, and all ids differ: no two blocks write to one row, and the sums are the same every
// time.
extern "C" __global__ void add_rows(const float* x, const unsigned* order, const unsigned* begins, const unsigned* ids,
                                    float* y, int width) {
    float* to = y + static_cast<long long>(ids[blockIdx.x]) * width;
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        float sum[4];
        load_four(to + i, sum);
        for (unsigned n = begins[blockIdx.x]; n < begins[blockIdx.x + 1]; n++) {
            float value[4];
            load_four(x + static_cast<long long>(order[n]) * width + i, value);
            for (int j = 0; j < 4; j++) sum[j] += value[j];
        }
        store_four(sum, to + i);
    }
}

KERNEL(gather_rows_f32)
KERNEL(gather_rows_bf16)
KERNEL(add_rows)
