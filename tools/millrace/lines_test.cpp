// Proves that lines come out whole however the bytes arrive, that too long ones are left out alone, and that a quiet
// descriptor gives the caller its turn.
#include "tools/millrace/lines.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "bus/base/fd.hpp"

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;

class LinesTest : public ::testing::Test {
 protected:
  LinesTest() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
  }
  void write(std::string_view text) {
    ASSERT_EQ(::write(write_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  UniqueFd read_, write_;
};

TEST_F(LinesTest, ComeOneByOneAndTheLastNeedsNoEnd) {
  write("one\n\nthree");
  write_.reset();
  Lines lines(read_.get());
  EXPECT_EQ(lines.next(1s).text, "one");
  EXPECT_EQ(lines.next(1s).text, "");
  EXPECT_EQ(lines.next(1s).text, "three");
  EXPECT_EQ(lines.next(1s).kind, Lines::Kind::end);
}

TEST_F(LinesTest, AreQuietWhileALineIsNotWhole) {
  Lines lines(read_.get());
  write("ha");
  EXPECT_EQ(lines.next(1ms).kind, Lines::Kind::quiet);
  write("lf\n");
  EXPECT_EQ(lines.next(1s).text, "half");
  EXPECT_EQ(lines.next(1ms).kind, Lines::Kind::quiet);
}

TEST_F(LinesTest, LeaveOutOneThatIsTooLongAndGoOn) {
  std::thread writer([this] {
    const std::string all = "before\n" + std::string(Lines::line_size_max * 2, 'x') + "\nafter\n";
    for (std::size_t at = 0; at < all.size();) {
      const ssize_t count = ::write(write_.get(), all.data() + at, all.size() - at);
      ASSERT_GT(count, 0);
      at += static_cast<std::size_t>(count);
    }
    write_.reset();
  });
  Lines lines(read_.get());
  const auto next = [&] {
    for (;;) {
      const auto item = lines.next(10s);
      if (item.kind != Lines::Kind::quiet) return item;
    }
  };
  EXPECT_EQ(next().text, "before");
  EXPECT_EQ(next().kind, Lines::Kind::too_long);
  EXPECT_EQ(next().text, "after");
  EXPECT_EQ(next().kind, Lines::Kind::end);
  writer.join();
}

}  // namespace
}  // namespace millrace::cli
