// Holds a segment with two rings until it is told to end: a core without everything else. Beside it runs a child
// program, as the gateway does, that outlives it.
#include <spawn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "bus/daemon/shared_segment.hpp"

int main() {
  using millrace::daemon::SharedSegment;
  auto segment = SharedSegment::start({{"trade_events", "stream0", 1'000'000}, {"orders", "stream0", 300'000}});
  if (!segment) {
    std::fprintf(stderr, "%s\n", segment.error().message.c_str());
    return 1;
  }
  std::string program = "/usr/bin/tail", follow = "-f", file = "/dev/null";
  char* arguments[] = {program.data(), follow.data(), file.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ) != 0) return 2;
  std::printf("holding %d\n", child);
  std::fflush(stdout);
  ::pause();
}
