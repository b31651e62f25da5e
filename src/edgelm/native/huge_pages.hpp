// Weights in pages of 2 MB where the system has them: with those of 4 KB a core waits for their addresses as well.
#pragma once

#include <malloc.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

constexpr size_t HUGE_PAGE = 2u << 20, MANY = 16 * HUGE_PAGE;

// Stands in for the C library's in this program: it is what ggml takes its memory by.
extern "C" int posix_memalign(void ** where, size_t alignment, size_t size) {
    const bool large = size >= MANY;
    void * taken = memalign(large && alignment < HUGE_PAGE ? HUGE_PAGE : alignment, size);
    if (!taken) {
        return ENOMEM;
    }
    if (large) {
        madvise(taken, size, MADV_HUGEPAGE);  // a wish: where it cannot be met, pages stay small
    }
    *where = taken;
    return 0;
}
