// Kernels that show that the emulation behaves like a GPU.

// Sums blocks: through a warp, then through shared memory.
extern "C" __global__ void probe_sum(const float* x, float* sums, int n) {
    __shared__ float of_warps[32];
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    float sum = warp_sum(i < n ? x[i] : 0.0f);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0.0f;
        for (unsigned warp = 0; warp < blockDim.x / 32; warp++) total += of_warps[warp];
        sums[blockIdx.x] = total;
    }
}

// d = 2 * a * b of one warp, a [16, 16] and b [16, 8] by way of shared memory; b is read once with
// `trans` and once, transposed, without.
extern "C" __global__ void probe_mma(const bf16* a, const bf16* b, const bf16* b_transposed, float* d) {
    DYNAMIC_SHARED(shared);
    bf16* in = reinterpret_cast<bf16*>(shared);
    int lane = (int)threadIdx.x;
    copy_async(in + lane * 8, a + lane * 8, true);
    if (lane < 16) copy_async(in + 256 + lane * 8, b + lane * 8, true);
    copy_async(in + 384 + lane * 8, b_transposed + lane % 16 * 8, lane < 16);
    copy_commit();
    copy_wait<0>();
    __syncwarp();
    unsigned of_a[4], of_b[4], of_b_transposed[4];
    ldmatrix_x4(of_a, in + lane % 16 * 16 + lane / 16 * 8);
    ldmatrix_x4_trans(of_b, in + 256 + lane % 16 * 8);
    ldmatrix_x4(of_b_transposed, in + 384 + lane % 8 * 16 + lane / 8 % 2 * 8);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_m16n8k16_bf16(sums, of_a, of_b);
    mma_m16n8k16_bf16(sums, of_a, of_b_transposed);
    for (int i = 0; i < 4; i++) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

// Half of the threads leave, and the others wait for them.
extern "C" __global__ void probe_lost(float* x) {
    if (threadIdx.x < 32) return;
    __syncthreads();
    *x = 1.0f;
}

// Loads four elements at once, the first of which is not at a multiple of four.
extern "C" __global__ void probe_misaligned(float* x) {
    float four[4];
    load_four(x + 1 + threadIdx.x, four);
    x[threadIdx.x] = four[0];
}

KERNEL(probe_sum)
KERNEL(probe_mma)
KERNEL(probe_lost)
KERNEL(probe_misaligned)
