// A driver of CUDA whose GPU is the host: the functions of libcuda.so.1 that the engine uses, with kernels of the emulation. It
// refuses what the real driver refuses: a call before cuInit or without a current context, unallocated memory, a grid or block
// that is too large, more shared memory than requested, a kernel that the machine code does not have.
#include "cuda.hpp"

#include <elf.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

#include "emulate.hpp"

namespace {

enum : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
};

constexpr size_t MEMORY = 16ull << 30, GUARD = 256;
constexpr int BY_DEFAULT = 48 << 10, REGISTERS = 65536;

// The machine code's metadata of a kernel.
struct Function {
    std::string name;
    int shared = 0, registers = 0, threads = 1024; // static bytes, of a thread, at most
    int allowed = BY_DEFAULT;                      // static and dynamic
};

struct Module {
    std::map<std::string, Function> functions;
};

struct Event {
    std::chrono::steady_clock::time_point at;
};

std::mutex lock;
std::map<unsigned long long, size_t> allocations;
size_t used = 0, most_used = 0;
std::set<void*> streams, events;
std::atomic<bool> started{false};
std::atomic<int> broken{0}; // as on a GPU, no call works after a kernel has failed
thread_local bool current = false;
int context, pool;

int ready() { return !started ? NOT_INITIALIZED : broken ? broken.load() : current ? SUCCESS : INVALID_CONTEXT; }

bool inside(unsigned long long address, size_t bytes) {
    std::lock_guard<std::mutex> held(lock);
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return false;
    auto [start, size] = *std::prev(next);
    return address + bytes <= start + size;
}

bool is_stream(void* stream) {
    std::lock_guard<std::mutex> held(lock);
    return !stream || streams.count(stream);
}

bool is_event(void* event) {
    std::lock_guard<std::mutex> held(lock);
    return events.count(event);
}

// Most threads of a block, from a kernel's .nv.info: attributes of four bytes, some of which are followed by more.
int most_threads(const unsigned char* info, size_t bytes) {
    constexpr unsigned HAS_MORE = 4, MAX_THREADS = 5;
    for (size_t at = 0; at + 4 <= bytes;) {
        unsigned more = info[at] == HAS_MORE ? info[at + 2] | info[at + 3] << 8 : 0;
        if (info[at] == HAS_MORE && info[at + 1] == MAX_THREADS) {
            unsigned sizes[3];
            memcpy(sizes, info + at + 4, sizeof sizes);
            return (int)(sizes[0] * sizes[1] * sizes[2]);
        }
        at += 4 + more;
    }
    return 1024;
}

bool begins_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

// The kernels of a cubin, which is an ELF file with sections named after them.
bool read_module(const unsigned char* image, Module& module) {
    if (memcmp(image, ELFMAG, SELFMAG) != 0) return false;
    auto header = reinterpret_cast<const Elf64_Ehdr*>(image);
    auto sections = reinterpret_cast<const Elf64_Shdr*>(image + header->e_shoff);
    auto names = reinterpret_cast<const char*>(image + sections[header->e_shstrndx].sh_offset);
    for (int i = 0; i < header->e_shnum; i++) {
        std::string name = names + sections[i].sh_name;
        auto& section = sections[i];
        if (begins_with(name, ".text.")) {
            auto& function = module.functions[name.substr(6)];
            function.name = name.substr(6);
            function.registers = (int)(section.sh_info >> 24);
        } else if (begins_with(name, ".nv.shared.")) {
            module.functions[name.substr(11)].shared = (int)section.sh_size;
        } else if (begins_with(name, ".nv.info.")) {
            module.functions[name.substr(9)].threads = most_threads(image + section.sh_offset, section.sh_size);
        }
    }
    return true;
}

} // namespace

bool pretend_ready() { return ready() == SUCCESS; }
bool pretend_inside(const void* address, size_t bytes) { return inside((unsigned long long)address, bytes); }

extern "C" {

int cuInit(unsigned flags) {
    if (flags) return INVALID_VALUE;
    started = true;
    return SUCCESS;
}
int cuDeviceGetCount(int* count) {
    *count = 1;
    return started ? SUCCESS : NOT_INITIALIZED;
}
int cuDeviceGet(int* device, int ordinal) {
    *device = 0;
    return !started ? NOT_INITIALIZED : ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}
int cuDeviceGetName(char* name, int room, int) {
    snprintf(name, (size_t)room, "the host, pretending");
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = MEMORY;
    return SUCCESS;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    constexpr int MAJOR = 75, MINOR = 76;
    *value = attribute == MAJOR ? 9 : 0;
    return attribute == MAJOR || attribute == MINOR ? SUCCESS : INVALID_VALUE;
}
int cuDevicePrimaryCtxRetain(void** made, int) {
    *made = &context;
    return started ? SUCCESS : NOT_INITIALIZED;
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* wanted) {
    current = wanted == &context;
    return !wanted || current ? SUCCESS : INVALID_CONTEXT;
}
int cuDeviceCanAccessPeer(int* can, int, int) {
    *can = 0;
    return SUCCESS;
}
int cuGetErrorString(int error, const char** text) {
    static const std::map<int, const char*> texts = {
        {INVALID_VALUE, "invalid argument"},
        {OUT_OF_MEMORY, "out of memory"},
        {NOT_INITIALIZED, "initialization error"},
        {INVALID_DEVICE, "invalid device ordinal"},
        {INVALID_IMAGE, "device kernel image is invalid"},
        {INVALID_CONTEXT, "invalid device context"},
        {INVALID_HANDLE, "invalid resource handle"},
        {NOT_FOUND, "named symbol not found"},
        {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
        {OUT_OF_RESOURCES, "too many resources requested for launch"},
        {LAUNCH_FAILED, "unspecified launch failure"},
    };
    auto found = texts.find(error);
    *text = found == texts.end() ? nullptr : found->second;
    return found == texts.end() ? INVALID_VALUE : SUCCESS;
}
// NVRTC asks for tables that only tools use.
int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return NOT_FOUND;
}
int cuGetErrorName(int error, const char** text) { return cuGetErrorString(error, text); }

int cuStreamCreate(void** stream, unsigned) {
    if (int error = ready()) return error;
    std::lock_guard<std::mutex> held(lock);
    streams.insert(*stream = new char);
    return SUCCESS;
}
int cuStreamDestroy_v2(void* stream) {
    if (int error = ready()) return error;
    std::lock_guard<std::mutex> held(lock);
    if (!streams.erase(stream)) return INVALID_HANDLE;
    delete static_cast<char*>(stream);
    return SUCCESS;
}
int cuStreamSynchronize(void* stream) {
    if (int error = ready()) return error;
    return is_stream(stream) ? SUCCESS : INVALID_HANDLE;
}
int cuStreamWaitEvent(void* stream, void* event, unsigned) {
    if (int error = ready()) return error;
    return is_stream(stream) && is_event(event) ? SUCCESS : INVALID_HANDLE;
}
int cuEventCreate(void** event, unsigned) {
    if (int error = ready()) return error;
    std::lock_guard<std::mutex> held(lock);
    events.insert(*event = new Event);
    return SUCCESS;
}
int cuEventDestroy_v2(void* event) {
    if (int error = ready()) return error;
    std::lock_guard<std::mutex> held(lock);
    if (!events.erase(event)) return INVALID_HANDLE;
    delete static_cast<Event*>(event);
    return SUCCESS;
}
int cuEventRecord(void* event, void* stream) {
    if (int error = ready()) return error;
    if (!is_event(event) || !is_stream(stream)) return INVALID_HANDLE;
    static_cast<Event*>(event)->at = std::chrono::steady_clock::now();
    return SUCCESS;
}
int cuEventQuery(void* event) {
    if (int error = ready()) return error;
    return is_event(event) ? SUCCESS : INVALID_HANDLE;
}
int cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
    if (!is_event(start) || !is_event(end)) return INVALID_HANDLE;
    std::chrono::duration<float, std::milli> passed = static_cast<Event*>(end)->at - static_cast<Event*>(start)->at;
    *milliseconds = passed.count();
    return SUCCESS;
}

int cuDeviceGetDefaultMemPool(void** found, int) {
    *found = &pool;
    return started ? SUCCESS : NOT_INITIALIZED;
}
int cuMemPoolSetAttribute(void* of, int, void*) { return of == &pool ? SUCCESS : INVALID_VALUE; }
int cuMemPoolGetAttribute(void* of, int attribute, void* value) {
    constexpr int RESERVED_HIGH = 6, USED_HIGH = 8;
    if (of != &pool || (attribute != RESERVED_HIGH && attribute != USED_HIGH)) return INVALID_VALUE;
    std::lock_guard<std::mutex> held(lock);
    memcpy(value, &most_used, sizeof most_used);
    return SUCCESS;
}
int cuMemPoolSetAccess(void* of, const void*, size_t) { return of == &pool ? SUCCESS : INVALID_VALUE; }
int cuMemAllocAsync(unsigned long long* address, size_t bytes, void* stream) {
    if (int error = ready()) return error;
    if (!is_stream(stream)) return INVALID_HANDLE;
    if (bytes == 0) return INVALID_VALUE;
    std::lock_guard<std::mutex> held(lock);
    if (used + bytes > MEMORY) return OUT_OF_MEMORY;
    // aligned to 256 bytes and to no more
    auto memory = static_cast<unsigned char*>(aligned_alloc(512, (bytes + 2 * GUARD + 511) / 512 * 512));
    if (!memory) return OUT_OF_MEMORY;
    memory += GUARD;
    memset(memory, 0xff, bytes);
    memset(memory + bytes, 0xc5, GUARD);
    used += bytes;
    most_used = std::max(most_used, used);
    allocations[*address = (unsigned long long)memory] = bytes;
    return SUCCESS;
}
int cuMemFreeAsync(unsigned long long address, void* stream) {
    if (int error = ready()) return error;
    if (!is_stream(stream)) return INVALID_HANDLE;
    std::lock_guard<std::mutex> held(lock);
    auto found = allocations.find(address);
    if (found == allocations.end()) return INVALID_VALUE;
    auto memory = reinterpret_cast<unsigned char*>(address);
    for (size_t i = 0; i < GUARD; i++)
        if (memory[found->second + i] != 0xc5) {
            fprintf(stderr, "pretend: something was written beyond %zu bytes\n", found->second);
            broken = ILLEGAL_ADDRESS;
            return broken;
        }
    used -= found->second;
    allocations.erase(found);
    free(memory - GUARD);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
    if (int error = ready()) return error;
    if (!is_stream(stream) || !inside(to, bytes)) return INVALID_VALUE;
    memcpy(reinterpret_cast<void*>(to), from, bytes);
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
    if (int error = ready()) return error;
    if (!is_stream(stream) || !inside(from, bytes)) return INVALID_VALUE;
    memcpy(to, reinterpret_cast<void*>(from), bytes);
    return SUCCESS;
}
int cuMemsetD8Async(unsigned long long at, unsigned char byte, size_t bytes, void* stream) {
    if (int error = ready()) return error;
    if (!is_stream(stream) || !inside(at, bytes)) return INVALID_VALUE;
    memset(reinterpret_cast<void*>(at), byte, bytes);
    return SUCCESS;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    if (int error = ready()) return error;
    *memory = malloc(bytes);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFreeHost(void* memory) {
    free(memory);
    return ready();
}

int cuModuleLoadData(void** module, const void* image) {
    if (int error = ready()) return error;
    auto made = new Module;
    if (!read_module(static_cast<const unsigned char*>(image), *made)) {
        delete made;
        return INVALID_IMAGE;
    }
    *module = made;
    return SUCCESS;
}
int cuModuleUnload(void* module) {
    if (int error = ready()) return error;
    delete static_cast<Module*>(module);
    return SUCCESS;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
    if (int error = ready()) return error;
    auto& functions = static_cast<Module*>(module)->functions;
    auto found = functions.find(name);
    if (found == functions.end()) return NOT_FOUND;
    *function = &found->second;
    return SUCCESS;
}
int cuFuncSetAttribute(void* of, int attribute, int value) {
    if (int error = ready()) return error;
    constexpr int MAX_DYNAMIC_SHARED = 8;
    auto& function = *static_cast<Function*>(of);
    if (attribute != MAX_DYNAMIC_SHARED || value < 0) return INVALID_VALUE;
    if ((unsigned)(value + function.shared) > emulate::MOST_SHARED) return INVALID_VALUE;
    function.allowed = std::max(value + function.shared, BY_DEFAULT);
    return SUCCESS;
}
int cuLaunchKernel(void* of, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void* stream, void** arguments, void** extra) {
    if (int error = ready()) return error;
    auto& function = *static_cast<Function*>(of);
    if (!is_stream(stream)) return INVALID_HANDLE;
    size_t threads = (size_t)bx * by * bz;
    bool grid_fits = gx && gy && gz && gx <= 0x7fffffff && gy <= 65535 && gz <= 65535;
    if (!grid_fits || !threads || threads > 1024 || extra || !arguments) return INVALID_VALUE;
    if (threads > (size_t)function.threads) return INVALID_VALUE;
    if ((int)shared + function.shared > function.allowed) return INVALID_VALUE;
    if ((threads + 31) / 32 * 32 * (size_t)function.registers > REGISTERS) return OUT_OF_RESOURCES;
    int status = emulate_launch(function.name.c_str(), gx, gy, gz, bx, by, bz, shared, arguments);
    if (status) {
        fprintf(stderr, "pretend: %s ended with %d of the emulation\n", function.name.c_str(), status);
        broken = LAUNCH_FAILED;
    }
    return broken;
}

} // extern "C"
