// Proves what a progress line says, how often it is written, and that a terminal's line is cleaned up.
#include "tools/millrace/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class ProgressTest : public ::testing::Test {
 protected:
  ProgressTest() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~ProgressTest() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  // What was written since the last time. At most once after each write: it waits for something.
  [[nodiscard]] std::string written() const {
    std::string text(4096, '\0');
    const auto got = ::read(ends_[0], text.data(), text.size());
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
  }
  [[nodiscard]] Progress progress(Progress::Mode mode) { return Progress(mode, "events", clock_, ends_[1]); }

  std::array<int, 2> ends_{};
  ManualClock clock_;
};

TEST(ProgressLine, SaysPercentRatePositionAndWhatIsLeft) {
  EXPECT_EQ(progress_line({.done = 42, .total = 100, .position = "offset 41"}, 2.0, "events"),
            " 42 % [########............]  2 events/s  offset 41  0:29 left");
  EXPECT_EQ(progress_line({.done = 0, .total = 72'000}, 10.0, "bytes"),
            "  0 % [....................]  10 bytes/s  2:00:00 left");
  EXPECT_EQ(progress_line({.done = 100, .total = 100}, 5.0, "events"), "100 % [####################]  5 events/s");
  EXPECT_EQ(progress_line({.done = 0, .total = 0}, 0.0, "events"), "100 % [####################]  0 events/s");
  EXPECT_EQ(progress_line({.done = 7, .position = "offset 6"}, 3.0, "events"), "7 events  3 events/s  offset 6");
}

TEST_F(ProgressTest, IsDueTenTimesASecondOnATerminalAndOnceElsewhere) {
  const Progress off = progress(Progress::Mode::off);
  const Progress line = progress(Progress::Mode::line);
  const Progress lines = progress(Progress::Mode::lines);
  EXPECT_FALSE(line.due() || lines.due() || off.due());
  clock_.advance(100ms);
  EXPECT_TRUE(line.due());
  EXPECT_FALSE(lines.due() || off.due());
  clock_.advance(900ms);
  EXPECT_TRUE(lines.due());
  EXPECT_FALSE(off.due());
}

TEST_F(ProgressTest, TheRateIsThatOfLate) {
  Progress lines = progress(Progress::Mode::lines);
  for (std::uint64_t second = 1; second <= 60; ++second) {
    clock_.advance(1s);
    lines.show({.done = second * 1000});
  }
  EXPECT_THAT(written(), HasSubstr("60000 events  1000 events/s\n"));
  for (std::uint64_t second = 1; second <= 60; ++second) {
    clock_.advance(1s);
    lines.show({.done = 60'000 + second * 5000});
  }
  EXPECT_THAT(written(), HasSubstr("360000 events  5000 events/s\n"));
}

TEST_F(ProgressTest, ATerminalsLineIsWrittenOverClearedForMessagesAndStaysAtTheEnd) {
  Progress line = progress(Progress::Mode::line);
  clock_.advance(1s);
  line.show({.done = 1, .total = 2});
  EXPECT_EQ(written(), "\r 50 % [##########..........]  1 events/s  0:01 left\x1b[K");
  line.clear();
  line.clear();
  EXPECT_EQ(written(), "\r\x1b[K");
  clock_.advance(1s);
  line.finish({.done = 2, .total = 2});
  const std::string last = written();
  EXPECT_THAT(last, HasSubstr("100 %"));
  EXPECT_TRUE(last.ends_with("\x1b[K\n"));
}

}  // namespace
}  // namespace millrace::cli
