// Emulation of CUDA on the host, for tests. The threads of a block are fibers of one system thread;
// warps run one after another from barrier to barrier, and blocks one after another. The emulation
// finds a barrier that a thread never reaches, turns a write beyond shared memory into a fault, and
// lets copies arrive only when they are waited for. So a mistake that a GPU punishes at random
// fails here every time.
#pragma once
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __align__(n) alignas(n)
#define DYNAMIC_SHARED(name) unsigned char* name = emulate::shared
#define threadIdx (emulate::current->thread)
#define blockIdx (emulate::block.index)
#define blockDim (emulate::block.threads)
#define gridDim (emulate::block.grid)
#define KERNEL(name) \
    static const bool registered_##name = emulate::add(#name, [](void** args) { emulate::call(&name, args); });

struct uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulate {

constexpr unsigned WARP = 32, STACK = 128 << 10, MOST_SHARED = 227 << 10;
using Kernel = void (*)(void**);

// An asynchronous copy of 16 bytes.
struct Copy {
    void* to;
    const void* from;
    bool there;
    unsigned group;
};

// A thread of a block.
struct Fiber {
    uint3 thread{};
    unsigned index = 0;
    bool started = false, done = true;
    ucontext_t start{};
    jmp_buf at{};
    std::vector<char> stack;
    std::deque<Copy> copies; // copies that nobody has waited for yet
    unsigned groups = 0;
};

struct Barrier {
    unsigned arrived = 0;
    unsigned long long round = 0;
};

// Lanes write into one half of the slots while late lanes still read the other.
struct Warp {
    Barrier barrier;
    unsigned slots[2][WARP][6];
};

struct Block {
    uint3 grid{}, threads{}, index{};
    std::deque<Fiber> fibers; // a deque, because fibers must not move in memory
    std::vector<Warp> warps;
    Barrier barrier;
    bool progress = false, misaligned = false;
    Kernel kernel = nullptr;
    void** args = nullptr;
};

inline thread_local Block block;
inline thread_local Fiber* current;
inline thread_local jmp_buf scheduler;
inline thread_local unsigned char* shared;

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}
inline bool add(const char* name, Kernel kernel) { return kernels().emplace(name, kernel).second; }

// Calls a kernel with its arguments.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<A>*>(args[I])...);
}
template <class... A>
void call(void (*kernel)(A...), void** args) {
    call(kernel, args, std::index_sequence_for<A...>{});
}

// Gives control back to the scheduler.
__attribute__((noinline)) inline void yield() {
    if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}

// Body of a fiber: runs the kernel for one block after another.
inline void fiber_main() {
    for (;;) {
        block.kernel(block.args);
        current->copies.clear();
        current->groups = 0;
        current->done = true;
        yield(); // until the next block
    }
}

// Runs a fiber until it yields.
__attribute__((noinline)) inline void resume(Fiber* fiber) {
    current = fiber;
    if (_setjmp(scheduler)) return;
    if (fiber->started) _longjmp(fiber->at, 1);
    fiber->started = true;
    fiber->stack.resize(STACK);
    getcontext(&fiber->start);
    fiber->start.uc_stack.ss_sp = fiber->stack.data();
    fiber->start.uc_stack.ss_size = STACK;
    fiber->start.uc_link = nullptr;
    makecontext(&fiber->start, fiber_main, 0);
    setcontext(&fiber->start);
}

// Waits until all members have reached the barrier.
inline void wait(Barrier& barrier, unsigned members) {
    auto round = barrier.round;
    if (++barrier.arrived == members) {
        barrier.arrived = 0;
        barrier.round++;
        block.progress = true;
        return;
    }
    while (barrier.round == round) yield();
}

// Stops the thread, and with it the kernel, if an address is not aligned to the size of the access.
inline void check_aligned(const void* at, size_t bytes) {
    if ((size_t)at % bytes == 0) return;
    block.misaligned = true;
    for (;;) yield();
}

inline unsigned lane() { return current->index % WARP; }

// Gives words to the other lanes of the warp, and returns the words of all lanes.
template <size_t N>
unsigned (*exchange(const unsigned (&words)[N]))[6] {
    Warp& warp = block.warps[current->index / WARP];
    auto slots = warp.slots[warp.barrier.round % 2];
    std::copy(words, words + N, slots[lane()]);
    unsigned all = (unsigned)block.fibers.size();
    wait(warp.barrier, std::min(WARP, all - current->index / WARP * WARP));
    return slots;
}

// Rounds to the nearest bf16, ties to even; keeps NaN a NaN.
inline unsigned round_bf16(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    if (x != x) return bits >> 16 | 0x40;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Returns the lower or upper bf16 of a pair as a float.
inline float half(unsigned pair, unsigned which) {
    unsigned bits = which ? pair & 0xffff0000u : pair << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

inline void copy(const Copy& copy) {
    if (copy.there) memcpy(copy.to, copy.from, 16);
    else memset(copy.to, 0, 16);
}

// Returns shared memory that ends where an inaccessible page begins.
inline unsigned char* shared_memory(size_t bytes) {
    static thread_local unsigned char* end = [] {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (MOST_SHARED + page - 1) / page * page;
        auto start = static_cast<unsigned char*>(
            mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(start + room, page, PROT_NONE);
        return start + room;
    }();
    return end - (bytes + 15) / 16 * 16;
}

// Runs a warp as far as it comes without the others, so that code without a needed barrier meets
// data that has not arrived or is gone. Returns the number of its threads that ended.
inline size_t run_warp(size_t warp) {
    size_t begin = warp * WARP, end = std::min(begin + WARP, block.fibers.size()), done = 0;
    block.progress = false;
    for (bool any = true; any;) {
        bool before = block.progress;
        block.progress = false;
        for (size_t i = begin; i < end; i++) {
            Fiber& fiber = block.fibers[i];
            if (fiber.done) continue;
            resume(&fiber);
            if (fiber.done) done++, block.progress = true;
        }
        any = block.progress;
        block.progress |= before;
    }
    return done;
}

// Runs a block; false if no thread can go on.
inline bool run_block(size_t shared_bytes) {
    memset(shared, 0xff, shared_bytes); // NaN
    block.barrier = {};
    for (auto& warp : block.warps) warp.barrier = {};
    for (auto& fiber : block.fibers) fiber.done = false;
    size_t left = block.fibers.size();
    for (bool any = true; left > 0;) {
        if (!any) return false;
        any = false;
        for (size_t warp = 0; warp < block.warps.size(); warp++) {
            size_t done = run_warp(warp);
            any |= block.progress;
            left -= done;
        }
    }
    return true;
}

} // namespace emulate

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
inline float __expf(float x) { return expf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
template <class T>
T __ldg(const T* at) { return *at; }
using std::max;
using std::min;

inline void __syncthreads() { emulate::wait(emulate::block.barrier, (unsigned)emulate::block.fibers.size()); }
inline void __syncwarp() { emulate::exchange({0u}); }

template <class T>
T __shfl_xor_sync(unsigned, T x, int mask) {
    static_assert(sizeof(T) == 4);
    unsigned word;
    memcpy(&word, &x, 4);
    word = emulate::exchange({word})[emulate::lane() ^ (unsigned)mask][0];
    memcpy(&x, &word, 4);
    return x;
}
template <class T>
T __shfl_sync(unsigned, T x, int lane) {
    static_assert(sizeof(T) == 4);
    unsigned word;
    memcpy(&word, &x, 4);
    word = emulate::exchange({word})[lane][0];
    memcpy(&x, &word, 4);
    return x;
}
inline float atomicAdd(float* at, float x) {
    float before = *at;
    *at += x;
    return before;
}

// Multiplies fragments as the PTX ISA lays them out; see common.cuh.
inline void mma_m16n8k16_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
    auto all = emulate::exchange({a[0], a[1], a[2], a[3], b[0], b[1]});
    unsigned g = emulate::lane() / 4, t = emulate::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            unsigned pair = k % 8 / 2, upper = k / 8;
            float x = emulate::half(all[row % 8 * 4 + pair][row / 8 + 2 * upper], k % 2);
            float y = emulate::half(all[column * 4 + pair][4 + upper], k % 2);
            d[i] += x * y;
        }
    }
}

struct bf16;
inline void ldmatrix_x4(unsigned r[4], const bf16* row) {
    emulate::check_aligned(row, 16);
    unsigned words[2];
    memcpy(words, &row, 8);
    auto all = emulate::exchange(words);
    unsigned g = emulate::lane() / 4, t = emulate::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        const char* from;
        memcpy(&from, all[8 * i + g], 8);
        memcpy(&r[i], from + 4 * t, 4);
    }
}
inline void ldmatrix_x4_trans(unsigned r[4], const bf16* row) {
    emulate::check_aligned(row, 16);
    unsigned words[2];
    memcpy(words, &row, 8);
    auto all = emulate::exchange(words);
    unsigned g = emulate::lane() / 4, t = emulate::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        r[i] = 0;
        for (unsigned j = 0; j < 2; j++) {
            const char* from;
            unsigned short bits;
            memcpy(&from, all[8 * i + 2 * t + j], 8);
            memcpy(&bits, from + 2 * g, 2);
            r[i] |= (unsigned)bits << 16 * j;
        }
    }
}

inline void copy_async(void* to, const void* from, bool there) {
    emulate::check_aligned(to, 16);
    emulate::check_aligned(from, 16);
    emulate::current->copies.push_back({to, from, there, emulate::current->groups});
}
inline void copy_commit() { emulate::current->groups++; }
template <int N>
void copy_wait() {
    auto& fiber = *emulate::current;
    while (!fiber.copies.empty() && fiber.copies.front().group + N < fiber.groups) {
        emulate::copy(fiber.copies.front());
        fiber.copies.pop_front();
    }
}

// Runs a kernel. Returns 0: done; 1: no such kernel; 2: a thread waits for others that do not come;
// 3: too much shared memory; 4: too many blocks or threads; 5: a load or a copy at a misaligned
// address.
extern "C" __attribute__((used)) inline int emulate_launch(const char* name, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                                           unsigned by, unsigned bz, size_t shared_bytes, void** args) {
    using namespace emulate;
    auto kernel = kernels().find(name);
    if (kernel == kernels().end()) return 1;
    if (shared_bytes > MOST_SHARED) return 3;
    size_t threads = (size_t)bx * by * bz;
    if (gx > 0x7fffffff || gy > 65535 || gz > 65535 || threads > 1024) return 4;
    block.misaligned = false;
    block.grid = {gx, gy, gz};
    block.threads = {bx, by, bz};
    block.kernel = kernel->second;
    block.args = args;
    block.fibers.resize(threads);
    block.warps.resize((threads + WARP - 1) / WARP);
    for (unsigned i = 0; i < threads; i++) {
        block.fibers[i].index = i;
        block.fibers[i].thread = {i % bx, i / bx % by, i / bx / by};
    }
    shared = shared_memory(shared_bytes);
    for (unsigned z = 0; z < gz; z++)
        for (unsigned y = 0; y < gy; y++)
            for (unsigned x = 0; x < gx; x++) {
                block.index = {x, y, z};
                if (!run_block(shared_bytes)) {
                    block.fibers.clear(); // they are in the middle of a kernel
                    return block.misaligned ? 5 : 2;
                }
            }
    return 0;
}
