#include "bus/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace millrace {

void assertion_failed(const char* condition, const char* message, const char* file, int line) {
  std::fprintf(stderr, "millrace: broken invariant at %s:%d: %s (%s)\n", file, line, message, condition);
  std::abort();
}

}  // namespace millrace
