// Sleeping on a word in shared memory, between processes. The waiter may have it mapped read-only.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace millrace {

using FutexWord = std::atomic<std::uint32_t>;
static_assert(sizeof(FutexWord) == 4 && FutexWord::is_always_lock_free);

// Sleeps until the word is woken, at most `timeout`; returns at once if it is not `seen` any more, and now and then for
// no reason. The caller looks again.
void futex_wait(const FutexWord& word, std::uint32_t seen, std::chrono::nanoseconds timeout);
// Counts the word up and wakes everybody who sleeps on it. What they are to see was stored before.
void futex_announce(FutexWord& word);

}  // namespace millrace
