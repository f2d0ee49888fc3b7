// How far a long command is, as one line on standard error that is written over and over:
//
//    42 % [########............]  1234567 events/s  offset 42000000  0:12 left
#pragma once

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>

#include "bus/base/clock.hpp"

namespace millrace::cli {

struct ProgressLook {
  std::uint64_t done = 0;
  std::optional<std::uint64_t> total{};  // of the same unit; unknown: neither percent nor time left
  std::string position{};                // "offset 4711"; may be empty
};

// `rate`: units a second; 0: not known yet.
[[nodiscard]] std::string progress_line(const ProgressLook& look, double rate, const std::string& unit);

class Progress {
 public:
  enum class Mode {
    off,
    line,   // on a terminal: one line, written over ten times a second
    lines,  // elsewhere: a line each second
  };
  // `asked`: by --progress. Otherwise only where standard error is a terminal that nothing else is written to: standard
  // output goes elsewhere, or `quiet`.
  [[nodiscard]] static Mode choose(bool asked, bool quiet);

  Progress(Mode mode, std::string unit, const Clock& clock = system_clock(), int fd = STDERR_FILENO);

  // Whether it is time for another show(). Cheap where progress is off; else costs a look at the clock.
  [[nodiscard]] bool due() const;
  void show(const ProgressLook& look);
  // What else goes to standard error is written to a line of its own: before a message, and at the end.
  void clear();
  // The last state, on a line that stays.
  void finish(const ProgressLook& look);

 private:
  void measure(std::uint64_t done, MonotonicTime now);
  void write(const std::string& text) const;

  Mode mode_;
  std::string unit_;
  const Clock* clock_;
  int fd_;
  MonotonicTime shown_at_;
  std::uint64_t done_ = 0;  // as of shown_at_
  double rate_ = 0;         // of late: half of it is a few seconds old
  bool on_line_ = false;
};

}  // namespace millrace::cli
