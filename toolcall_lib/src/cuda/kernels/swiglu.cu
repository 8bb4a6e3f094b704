// SwiGLU (Shazeer, 2020): silu(gate) · up, from [rows, 2 · width] with the gate in the first half
// of each row. `width` is a multiple of four, and each thread has four elements.

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// y[rows, width] = gate · sigmoid(gate) · up; `elements` is rows · width.
template <typename T>
__device__ void swiglu(const T* gate_up, T* y, long long elements, int width) {
    const long long at = 4 * (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x);
    if (at >= elements) return;
    const T* row = gate_up + at / width * 2 * width + at % width;
    float gate[4], up[4];
    load_four(row, gate);
    load_four(row + width, up);
    for (int i = 0; i < 4; i++) up[i] *= gate[i] * sigmoid(gate[i]);
    store_four(up, y + at);
}

// dgate = dy · up · s · (1 + gate · (1 - s)) and dup = dy · gate · s, with s = sigmoid(gate).
template <typename T>
__device__ void swiglu_backward(const T* gate_up, const T* dy, T* dgate_up, long long elements, int width) {
    const long long at = 4 * (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x);
    if (at >= elements) return;
    const long long row = at / width * 2 * width + at % width;
    float gate[4], up[4], d[4];
    load_four(gate_up + row, gate);
    load_four(gate_up + row + width, up);
    load_four(dy + at, d);
    for (int i = 0; i < 4; i++) {
        const float s = sigmoid(gate[i]), dgate = d[i] * up[i] * s * (1 + gate[i] * (1 - s));
        up[i] = d[i] * gate[i] * s;
        gate[i] = dgate;
    }
    store_four(gate, dgate_up + row);
    store_four(up, dgate_up + row + width);
}

extern "C" __global__ void swiglu_f32(const float* gate_up, float* y, long long elements, int width) {
    swiglu(gate_up, y, elements, width);
}
extern "C" __global__ void swiglu_bf16(const bf16* gate_up, bf16* y, long long elements, int width) {
    swiglu(gate_up, y, elements, width);
}
extern "C" __global__ void swiglu_backward_f32(const float* gate_up, const float* dy, float* dgate_up, long long elements,
                                               int width) {
    swiglu_backward(gate_up, dy, dgate_up, elements, width);
}
extern "C" __global__ void swiglu_backward_bf16(const bf16* gate_up, const bf16* dy, bf16* dgate_up, long long elements,
                                                int width) {
    swiglu_backward(gate_up, dy, dgate_up, elements, width);
}

KERNEL(swiglu_f32)
KERNEL(swiglu_bf16)
KERNEL(swiglu_backward_f32)
KERNEL(swiglu_backward_bf16)
