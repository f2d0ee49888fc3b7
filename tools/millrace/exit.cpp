#include "tools/millrace/exit.hpp"

#include <cstdio>

namespace millrace::cli {

Exit complain(const Error& error) {
  std::fprintf(stderr, "millrace: %s\n", error.message.c_str());
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::not_found:
      return Exit::usage;
    case ErrorCode::disconnected:
      return Exit::no_core;
    default:
      return Exit::failed;
  }
}

}  // namespace millrace::cli
