// The machine's own rates: bytes copied and read in a second by all threads, operations of ggml's matrix product.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"
#include "system.hpp"

namespace rates {

// Work done in a second by so many threads that each repeat `work(thread)`, which says how much it did.
template <typename Work>
double per_second(int threads, double seconds, Work work) {
    std::vector<std::thread> others;
    std::vector<double> done(size_t(threads), 0.0);
    const int64_t start = host::now_ns(), end = start + int64_t(seconds * 1e9);
    for (int thread = 0; thread < threads; thread++) {
        others.emplace_back([&, thread] {
            do {
                done[size_t(thread)] += work(thread);
            } while (host::now_ns() < end);
        });
    }
    for (auto & other : others) {
        other.join();
    }
    double sum = 0;
    for (const double part : done) {
        sum += part;
    }
    return sum / (double(host::now_ns() - start) / 1e9);
}

// Two areas larger than the caches, taken as weights are, a part of them for each thread.
class Areas {
public:
    Areas(int threads, size_t bytes)
        : words_(bytes / sizeof(uint64_t) / size_t(threads)), from_(taken(threads, 1)), to_(taken(threads, 2)) {}

    // Bytes read and written by one copy of a thread's part.
    double copy(int thread) {
        std::memcpy(to_.get() + words_ * size_t(thread), from_.get() + words_ * size_t(thread), words_ * sizeof(uint64_t));
        return double(2 * words_ * sizeof(uint64_t));
    }

    // Bytes read by one pass over a thread's part: what decoding does.
    double read(int thread) {
        const uint64_t * part = from_.get() + words_ * size_t(thread);
        uint64_t sums[8] = {};
        for (size_t at = 0; at + 8 <= words_; at += 8) {
            for (size_t lane = 0; lane < 8; lane++) {
                sums[lane] += part[at + lane];
            }
        }
        volatile uint64_t kept = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
        (void) kept;
        return double(words_ * sizeof(uint64_t));
    }

private:
    using Area = std::unique_ptr<uint64_t, decltype(&std::free)>;

    Area taken(int threads, uint64_t filling) const {
        const size_t words = words_ * size_t(threads);
        void * area = nullptr;
        if (posix_memalign(&area, 64, words * sizeof(uint64_t)) != 0) {
            throw std::bad_alloc();
        }
        std::fill_n(static_cast<uint64_t *>(area), words, filling);
        return {static_cast<uint64_t *>(area), &std::free};
    }

    size_t words_;
    Area from_, to_;
};

// Operations in a second of an F16 or F32 matrix times F32 columns, as in reading a prompt.
inline double matrix(ggml_threadpool * pool, int threads, bool half, double seconds) {
    constexpr int64_t WIDTH = 1024, COLUMNS = 512;
    const size_t bytes = WIDTH * WIDTH * 4 + 2 * WIDTH * COLUMNS * 4 + (1 << 20);
    std::unique_ptr<ggml_context, decltype(&ggml_free)> room(ggml_init({bytes, nullptr, false}), ggml_free);
    if (!room) {
        throw host::Failed("memory", "no memory for a matrix", "raise --memory-limit");
    }
    ggml_tensor * weights = ggml_new_tensor_2d(room.get(), half ? GGML_TYPE_F16 : GGML_TYPE_F32, WIDTH, WIDTH);
    ggml_tensor * columns = ggml_new_tensor_2d(room.get(), GGML_TYPE_F32, WIDTH, COLUMNS);
    std::memset(weights->data, 0, ggml_nbytes(weights));
    std::memset(columns->data, 0, ggml_nbytes(columns));
    ggml_cgraph * graph = ggml_new_graph(room.get());
    ggml_build_forward_expand(graph, ggml_mul_mat(room.get(), weights, columns));
    ggml_cplan plan = ggml_graph_plan(graph, threads, pool);
    std::vector<uint8_t> scratch(plan.work_size);
    plan.work_data = scratch.data();
    double operations = 0;
    const int64_t start = host::now_ns(), end = start + int64_t(seconds * 1e9);
    do {
        if (ggml_graph_compute(graph, &plan) != GGML_STATUS_SUCCESS) {
            throw host::Failed("internal", "the matrix product failed", "report it");
        }
        operations += 2.0 * WIDTH * WIDTH * COLUMNS;
    } while (host::now_ns() < end);
    return operations / (double(host::now_ns() - start) / 1e9);
}

}  // namespace rates
