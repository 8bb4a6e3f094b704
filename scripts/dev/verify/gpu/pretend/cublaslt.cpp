// cuBLASLt on the host: the functions of libcublasLt.so.13 that the engine uses, with one algorithm and f32 sums. It refuses factors whose
// shapes or types differ from the descriptors, addresses that are less aligned than the algorithm was chosen for, and matrices that
// reach beyond the memory of the device.
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda.hpp"

namespace {

enum : int { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum : int { R_32F = 0, R_16BF = 14, COMPUTE_32F = 68 };

struct Description {
    int compute, scale, transposed[2];
};

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;

    size_t size() const { return type == R_16BF ? 2 : 4; }
    size_t bytes() const { return rows && columns ? ((columns - 1) * (size_t)stride + rows) * size() : 0; }
    bool operator==(const Layout& other) const {
        return type == other.type && rows == other.rows && columns == other.columns && stride == other.stride;
    }
};

struct Preference {
    size_t workspace = 0;
    uint32_t alignments[4] = {256, 256, 256, 256};
};

// Contents of the opaque words of an algorithm.
struct Algorithm {
    uint32_t alignments[4];
    uint64_t rest[6];
};

// `cublasLtMatmulHeuristicResult_t`
struct Found {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Algorithm) == 64);

struct Product {
    const Description& of;
    const Layout &a, &b, &c, &d;

    int check() const {
        auto rows = [&](const Layout& x, int which) { return of.transposed[which] ? x.columns : x.rows; };
        auto columns = [&](const Layout& x, int which) { return of.transposed[which] ? x.rows : x.columns; };
        if (of.compute != COMPUTE_32F || of.scale != R_32F) return NOT_SUPPORTED;
        if (a.type != b.type || (a.type == R_32F && d.type != R_32F)) return NOT_SUPPORTED;
        if (columns(a, 0) != rows(b, 1) || rows(a, 0) != d.rows || columns(b, 1) != d.columns || !(c == d)) return INVALID_VALUE;
        for (auto x : {&a, &b, &d})
            if (!x->rows || !x->columns || x->stride < (int64_t)x->rows) return INVALID_VALUE;
        return SUCCESS;
    }
};

float load(const void* x, int type, size_t at) {
    if (type == R_32F) return static_cast<const float*>(x)[at];
    uint32_t bits = (uint32_t)static_cast<const uint16_t*>(x)[at] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

void store(void* x, int type, size_t at, float value) {
    if (type == R_32F) {
        static_cast<float*>(x)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = value != value ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    static_cast<uint16_t*>(x)[at] = (uint16_t)rounded;
}

// op(x) with `across` neighbours, in either memory order.
std::vector<float> read(const void* x, const Layout& layout, bool rows_are_neighbours) {
    std::vector<float> values(layout.rows * layout.columns);
    for (size_t column = 0; column < layout.columns; column++)
        for (size_t row = 0; row < layout.rows; row++) {
            size_t to = rows_are_neighbours ? column * layout.rows + row : row * layout.columns + column;
            values[to] = load(x, layout.type, column * (size_t)layout.stride + row);
        }
    return values;
}

template <class T>
int set(T& to, const void* from, size_t bytes) {
    if (bytes != sizeof(T)) return INVALID_VALUE;
    memcpy(&to, from, bytes);
    return SUCCESS;
}

} // namespace

extern "C" {

int cublasLtCreate(void** handle) {
    *handle = new char;
    return pretend_ready() ? SUCCESS : NOT_INITIALIZED;
}
int cublasLtDestroy(void* handle) {
    delete static_cast<char*>(handle);
    return SUCCESS;
}
int cublasLtMatmulDescCreate(Description** made, int compute, int scale) {
    *made = new Description{compute, scale, {0, 0}};
    return SUCCESS;
}
int cublasLtMatmulDescDestroy(Description* description) {
    delete description;
    return SUCCESS;
}
int cublasLtMatmulDescSetAttribute(Description* of, int attribute, const void* from, size_t bytes) {
    constexpr int TRANSA = 3, TRANSB = 4;
    bool known = attribute == TRANSA || attribute == TRANSB;
    return known ? set(of->transposed[attribute - TRANSA], from, bytes) : INVALID_VALUE;
}
int cublasLtMatrixLayoutCreate(Layout** made, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    *made = new Layout{type, rows, columns, stride};
    return SUCCESS;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) {
    delete layout;
    return SUCCESS;
}
int cublasLtMatmulPreferenceCreate(Preference** made) {
    *made = new Preference;
    return SUCCESS;
}
int cublasLtMatmulPreferenceDestroy(Preference* preference) {
    delete preference;
    return SUCCESS;
}
int cublasLtMatmulPreferenceSetAttribute(Preference* of, int attribute, const void* from, size_t bytes) {
    constexpr int MAX_WORKSPACE = 1, REDUCTION_SCHEMES = 3, ALIGNMENT_A = 5;
    uint32_t ignored;
    if (attribute == MAX_WORKSPACE) return set(of->workspace, from, bytes);
    if (attribute == REDUCTION_SCHEMES) return set(ignored, from, bytes);
    if (attribute < ALIGNMENT_A || attribute >= ALIGNMENT_A + 4) return INVALID_VALUE;
    return set(of->alignments[attribute - ALIGNMENT_A], from, bytes);
}
int cublasLtMatmulAlgoGetHeuristic(void*, const Description* of, const Layout* a, const Layout* b, const Layout* c,
                                   const Layout* d, const Preference* preference, int wanted, Found* found, int* count) {
    if (!pretend_ready()) return NOT_INITIALIZED;
    *count = 0;
    if (int problem = Product{*of, *a, *b, *c, *d}.check()) return problem;
    if (wanted < 1) return INVALID_VALUE;
    *found = {};
    memcpy(found->algorithm.alignments, preference->alignments, sizeof preference->alignments);
    found->workspace = preference->workspace;
    *count = 1;
    return SUCCESS;
}
int cublasLtMatmulAlgoCheck(void*, const Description* of, const Layout* a, const Layout* b, const Layout* c, const Layout* d,
                            const Algorithm* algorithm, Found* found) {
    if (!pretend_ready()) return NOT_INITIALIZED;
    if (int problem = Product{*of, *a, *b, *c, *d}.check()) return problem;
    *found = {};
    found->algorithm = *algorithm;
    return SUCCESS;
}
int cublasLtMatmul(void*, const Description* of, const float* alpha, const void* a, const Layout* of_a, const void* b,
                   const Layout* of_b, const float* beta, const void* c, const Layout* of_c, void* d, const Layout* of_d,
                   const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void*) {
    if (!pretend_ready()) return NOT_INITIALIZED;
    if (int problem = Product{*of, *of_a, *of_b, *of_c, *of_d}.check()) return problem;
    const void* addresses[] = {a, b, c, d};
    const Layout* layouts[] = {of_a, of_b, of_c, of_d};
    for (int i = 0; i < 4; i++) {
        bool aligned = (uintptr_t)addresses[i] % algorithm->alignments[i] == 0;
        if (!aligned || !pretend_inside(addresses[i], layouts[i]->bytes())) return INVALID_VALUE;
    }
    if (c != d || !pretend_inside(workspace, workspace_bytes)) return INVALID_VALUE;
    size_t m = of_d->rows, n = of_d->columns, k = of->transposed[0] ? of_a->rows : of_a->columns;
    auto left = read(a, *of_a, !of->transposed[0]);  // [k][m]
    auto right = read(b, *of_b, !of->transposed[1]); // [n][k]
    std::vector<float> sums(m);
    for (size_t j = 0; j < n; j++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (size_t l = 0; l < k; l++) {
            float y = right[j * k + l];
            const float* x = &left[l * m];
            for (size_t i = 0; i < m; i++) sums[i] += x[i] * y;
        }
        for (size_t i = 0; i < m; i++) {
            size_t at = j * (size_t)of_d->stride + i;
            float before = *beta == 0.0f ? 0.0f : *beta * load(d, of_d->type, at);
            store(d, of_d->type, at, *alpha * sums[i] + before);
        }
    }
    return SUCCESS;
}

} // extern "C"
