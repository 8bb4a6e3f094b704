// Dropout with masks that are computed, not stored: the words of ChaCha8 (Bernstein, 2008) with a
// 64-bit block counter and a 64-bit stream. Each element has one word, the same as on the CPU.

struct Key {
    unsigned words[8];
};

__device__ __forceinline__ unsigned rotate_left(unsigned x, int by) { return x << by | x >> (32 - by); }

__device__ __forceinline__ void quarter_round(unsigned (&x)[16], int a, int b, int c, int d) {
    x[a] += x[b], x[d] = rotate_left(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate_left(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate_left(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate_left(x[b] ^ x[c], 7);
}

// Computes block number `counter` of a stream: 16 words.
__device__ __forceinline__ void chacha8(const Key& key, unsigned long long stream, unsigned long long counter,
                                        unsigned (&words)[16]) {
    const unsigned first[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key.words[0], key.words[1], key.words[2], key.words[3],
                                key.words[4], key.words[5], key.words[6], key.words[7], (unsigned)counter, (unsigned)(counter >> 32),
                                (unsigned)stream, (unsigned)(stream >> 32)};
#pragma unroll
    for (int i = 0; i < 16; i++) words[i] = first[i];
#pragma unroll
    for (int round = 0; round < 4; round++) {
        quarter_round(words, 0, 4, 8, 12), quarter_round(words, 1, 5, 9, 13);
        quarter_round(words, 2, 6, 10, 14), quarter_round(words, 3, 7, 11, 15);
        quarter_round(words, 0, 5, 10, 15), quarter_round(words, 1, 6, 11, 12);
        quarter_round(words, 2, 7, 8, 13), quarter_round(words, 3, 4, 9, 14);
    }
#pragma unroll
    for (int i = 0; i < 16; i++) words[i] += first[i];
}

// Computes y = x, or y += x, dropping an element when its word is below `dropped` and dividing the
// others by `keep`. Each thread has a block of 16 elements.
template <typename T>
__device__ void dropout(const T* x, T* y, long long elements, unsigned long long key0, unsigned long long key1,
                        unsigned long long key2, unsigned long long key3, unsigned long long stream, unsigned dropped,
                        float keep, int adds) {
    const Key key = {{(unsigned)key0, (unsigned)(key0 >> 32), (unsigned)key1, (unsigned)(key1 >> 32), (unsigned)key2,
                      (unsigned)(key2 >> 32), (unsigned)key3, (unsigned)(key3 >> 32)}};
    const long long block = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (16 * block >= elements) return;
    unsigned words[16];
    chacha8(key, stream, block, words);
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const long long at = 16 * block + i;
        if (at >= elements) continue;
        const float kept = words[i] < dropped ? 0.0f : to_float(x[at]) / keep;
        store(&y[at], adds ? to_float(y[at]) + kept : kept);
    }
}

extern "C" __global__ void dropout_f32(const float* x, float* y, long long elements, unsigned long long key0,
                                       unsigned long long key1, unsigned long long key2, unsigned long long key3,
                                       unsigned long long stream, unsigned dropped, float keep, int adds) {
    dropout(x, y, elements, key0, key1, key2, key3, stream, dropped, keep, adds);
}
extern "C" __global__ void dropout_bf16(const bf16* x, bf16* y, long long elements, unsigned long long key0,
                                        unsigned long long key1, unsigned long long key2, unsigned long long key3,
                                        unsigned long long stream, unsigned dropped, float keep, int adds) {
    dropout(x, y, elements, key0, key1, key2, key3, stream, dropped, keep, adds);
}

KERNEL(dropout_f32)
KERNEL(dropout_bf16)
