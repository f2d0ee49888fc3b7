// Three kinds of wrong have three tools: a Result for what may happen, MILLRACE_ASSERT (always on) for a broken
// invariant, MILLRACE_DEBUG_ASSERT for the costly ones.
#pragma once

namespace millrace {

[[noreturn]] void assertion_failed(const char* condition, const char* message, const char* file, int line);

}  // namespace millrace

#define MILLRACE_ASSERT(condition, message) \
  ((condition) ? void(0) : ::millrace::assertion_failed(#condition, message, __FILE__, __LINE__))

#ifdef NDEBUG
#define MILLRACE_DEBUG_ASSERT(condition, message) void(0)
#else
#define MILLRACE_DEBUG_ASSERT(condition, message) MILLRACE_ASSERT(condition, message)
#endif
