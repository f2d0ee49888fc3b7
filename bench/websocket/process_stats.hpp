// What the kernel says of another process.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

namespace millrace::bench {

// Resident bytes; 0 if there is no such process.
inline std::uint64_t resident_bytes(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word != "VmRSS:") continue;
    std::uint64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

// Seconds of processor time that it has used, in the kernel and outside; a clock tick (10 ms) exact.
inline double processor_seconds(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  // Its second field is the name in brackets, which may have blanks in it; eleven more stand before the times.
  stat.ignore(std::numeric_limits<std::streamsize>::max(), ')');
  std::string ignored;
  for (int i = 0; i < 11; ++i) stat >> ignored;
  double user = 0, system = 0;
  stat >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace millrace::bench
