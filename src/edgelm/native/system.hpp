// What the runner asks of the operating system: its memory, the processors worth using, last words before it dies.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ggml.h"

namespace host {

enum ExitCode { GOOD = 0, BAD_INPUT = 2, NO_MEMORY = 3 };

// An error for the user: kind is "option", "file", "memory" or "internal".
struct Failed : std::exception {
    std::string kind, text, mend;
    Failed(std::string kind, std::string text, std::string mend)
        : kind(std::move(kind)), text(std::move(text)), mend(std::move(mend)) {}
    const char * what() const noexcept override { return text.c_str(); }
};

inline int64_t now_ns() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return int64_t(at.tv_sec) * 1000000000 + at.tv_nsec;
}

// Bytes behind each wanted name in a file of lines such as `VmHWM:  123 kB`.
inline std::map<std::string, uint64_t> sizes_in(const char * path, const std::set<std::string> & wanted) {
    std::map<std::string, uint64_t> found;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(':');
        if (colon != std::string::npos && wanted.count(line.substr(0, colon))) {
            found[line.substr(0, colon)] = std::strtoull(line.c_str() + colon + 1, nullptr, 10) * 1024;
        }
    }
    return found;
}

inline std::map<std::string, uint64_t> memory() { return sizes_in("/proc/self/status", {"VmHWM", "VmRSS"}); }

// Walking the page tables for it takes milliseconds.
inline std::map<std::string, uint64_t> memory_with_pss() {
    auto found = memory();
    found.merge(sizes_in("/proc/self/smaps_rollup", {"Pss"}));
    return found;
}

inline uint64_t available_memory() {
    const auto found = sizes_in("/proc/meminfo", {"MemAvailable"});
    return found.empty() ? 0 : found.begin()->second;
}

// A number in a file of /sys, or `other`.
inline long number_in(const std::string & path, long other) {
    std::ifstream file(path);
    long value = 0;
    return file >> value ? value : other;
}

// Physical cores among some processors, without those weaker than half of the strongest: a phone's small cores would
// make the large ones wait. The kernel's capacity tells them apart; their frequency, where it knows none, hardly does.
inline int fitting_cores(const std::vector<int> & processors, const std::string & folder) {
    // Clusters number their cores anew on some boards: capacity and frequency tell these apart.
    std::set<std::array<long, 4>> cores;  // capacity, frequency, package, core
    for (const int processor : processors) {
        const std::string own = folder + "/cpu" + std::to_string(processor);
        cores.insert({number_in(own + "/cpu_capacity", 0), number_in(own + "/cpufreq/cpuinfo_max_freq", 0),
                      number_in(own + "/topology/physical_package_id", 0),
                      number_in(own + "/topology/core_id", processor)});
    }
    if (cores.empty()) {
        return 1;
    }
    const size_t measure = (*cores.begin())[0] > 0 ? 0 : 1;  // the lowest capacity comes first: all are known
    long strongest = 0;
    for (const auto & core : cores) {
        strongest = std::max(strongest, core[measure]);
    }
    return int(std::count_if(cores.begin(), cores.end(),
                             [&](const auto & core) { return core[measure] * 2 >= strongest; }));
}

// Of so many threads those that a control group (version 2) and the ones above it leave time for. One more would have to
// wait for its turn, and the others, which wait for it by spinning, would spend the time of all.
inline int within_quota(int threads, std::string group, const std::string & root) {
    for (;; group.erase(group.rfind('/'))) {
        std::ifstream file(root + group + "/cpu.max");  // microseconds of time in each period; "max" is no number
        long time = 0, period = 0;
        if (file >> time >> period && period > 0) {
            threads = int(std::max(1L, std::min<long>(threads, time / period)));
        }
        if (group.empty()) {
            return threads;
        }
    }
}

// The number of threads: one for each fitting core that this process may use. What else runs at the moment does not
// count: a measurement is to be the same when it is repeated.
inline int fitting_threads() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    std::vector<int> processors;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        for (int processor = 0; processor < CPU_SETSIZE; processor++) {
            if (CPU_ISSET(processor, &allowed)) {
                processors.push_back(processor);
            }
        }
    }
    std::string group;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (line.rfind("0::/", 0) == 0) {
            group = line.substr(3);
        }
    }
    return within_quota(fitting_cores(processors, "/sys/devices/system/cpu"), group, "/sys/fs/cgroup");
}

// Last words. What llama.cpp checks by aborting, and what a hostile file makes it do, ends in a line of the protocol.

inline int protocol = -1;          // file descriptor of the answers
inline bool loading = true;        // the model file is to blame
inline void write_all(const char * data, size_t size) {
    while (size > 0) {
        const ssize_t written = write(protocol, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            _exit(GOOD);  // nobody reads any more
        }
        data += written;
        size -= size_t(written);
    }
}

[[noreturn]] inline void die() {
    static const char FILE_LINE[] =
        "{\"error\":{\"kind\":\"file\",\"what\":\"the model file cannot be loaded: it is damaged or of an unknown kind\","
        "\"mend\":\"make the bundle anew\"}}\n";
    static const char OTHER_LINE[] =
        "{\"error\":{\"kind\":\"internal\",\"what\":\"the runner broke down\",\"mend\":\"its last words are on stderr\"}}\n";
    if (loading) {
        write_all(FILE_LINE, sizeof FILE_LINE - 1);
        _exit(BAD_INPUT);
    }
    write_all(OTHER_LINE, sizeof OTHER_LINE - 1);
    _exit(NO_MEMORY);
}

inline void speak_before_dying() {
    static char stack[1 << 16];  // a stack that overflowed cannot be used
    stack_t other{};
    other.ss_sp = stack;
    other.ss_size = sizeof stack;
    sigaltstack(&other, nullptr);
    struct sigaction action{};
    action.sa_handler = [](int) { die(); };
    action.sa_flags = SA_ONSTACK;
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
        sigaction(number, &action, nullptr);
    }
    signal(SIGPIPE, SIG_IGN);
    ggml_set_abort_callback([](const char * message) {
        std::fprintf(stderr, "%s\n", message);
        die();
    });
    std::set_terminate([] { die(); });
}

// The system refuses what goes beyond the limit, should foretelling have been wrong. Stacks of threads count too.
inline void limit_allocations(uint64_t bytes, int threads) {
    const auto used = sizes_in("/proc/self/status", {"VmData"});
    const uint64_t stacks = uint64_t(threads) * (8u << 20);
    rlimit limit{};
    if (getrlimit(RLIMIT_DATA, &limit) == 0) {
        const rlim_t wanted = bytes + stacks + (used.empty() ? 0 : used.begin()->second);
        limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_DATA, &limit);
    }
}

}  // namespace host
