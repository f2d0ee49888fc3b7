// Proves that a replay over WebSocket keeps the recorded pace: over a minute of recorded time, at several speeds and
// over a pause, no event comes before 99 % of its gap to the one before has passed, and each is there once all of it
// has. The clock is the test's own, so no pace of the machine comes into it.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <thread>

#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/gateway.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
using std::chrono::nanoseconds;
namespace json = boost::json;

constexpr std::int64_t begin_ns = 1'600'000'000'000'000'000;

// When events were recorded: a minute of gaps from a millisecond to half a second.
std::vector<WallTime> recorded_times() {
  std::vector<WallTime> times{{begin_ns}};
  std::uint64_t random = 7;
  while (times.back().ns < begin_ns + 60'000'000'000) {
    random = random * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    times.push_back(times.back() + nanoseconds(1'000'000 + static_cast<std::int64_t>((random >> 33) % 500'000'000)));
  }
  return times;
}

class ReplayPacingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Two topics in turn: what is merged is paced as one.
    for (std::size_t i = 0; i < times_.size(); ++i) source_.publish(i % 2, R"({"instrument":"A"})", times_[i]);
    options_.port = 0;
    options_.heartbeat = std::chrono::milliseconds(4);  // what is due is looked for as often as can be
    gateway_ = std::make_unique<Gateway>(source_, options_, clock_);
    ASSERT_TRUE(gateway_->start());
    client_.emplace(gateway_->port());
  }
  // Counts what has come up to the answer of a ping, which makes the session look at its replay.
  void look() {
    client_->send(R"({"op":"ping"})");
    while (const auto message = client_->receive()) {
      const auto parsed = json::parse(*message);
      if (parsed.at("type") == "pong") return;
      ASSERT_NE(parsed.at("type"), "error") << parsed;
      ended_ = ended_ || parsed.at("type") == "replayed";
      if (parsed.at("type") == "replay_events") came_ += parsed.at("count").to_number<std::uint64_t>();
    }
    FAIL() << "the connection ended";
  }
  [[nodiscard]] bool comes(std::uint64_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (came_ < count && std::chrono::steady_clock::now() < end && !HasFatalFailure()) look();
    return came_ == count;
  }
  // From the event before, which has come: nothing until 99 % of the gap, then the next.
  void expect_next(std::size_t i, std::int64_t gap_ns) {
    const std::int64_t most = gap_ns * 99 / 100;
    clock_.advance(nanoseconds(most));
    for (int looks = 0; looks < 3; ++looks) ASSERT_NO_FATAL_FAILURE(look());
    ASSERT_EQ(came_, i) << "event " << i << " is early";
    clock_.advance(nanoseconds(gap_ns - most));
    ASSERT_TRUE(comes(i + 1)) << "event " << i << " is late";
  }
  void begin(const std::string& speed) {
    came_ = 0;
    ended_ = false;
    client_->send(R"({"op":"replay","topics":["trade_events","market_l2"],"speed":)" + speed + "}");
    ASSERT_FALSE(client_->receive_type("replaying").is_null());
    ASSERT_TRUE(comes(1)) << "the first is due at once";
  }

  const std::vector<WallTime> times_ = recorded_times();
  testing::MemorySource source_{{"trade_events", "market_l2"}};
  GatewayOptions options_;
  ManualClock clock_;
  std::unique_ptr<Gateway> gateway_;
  std::optional<WsClient> client_;
  std::uint64_t came_ = 0;
  bool ended_ = false;
};

TEST_F(ReplayPacingTest, AMinuteOfRecordedTimeTakesAMinute) {
  const MonotonicTime began = clock_.monotonic();
  ASSERT_NO_FATAL_FAILURE(begin("1"));
  for (std::size_t i = 1; i < times_.size(); ++i) {
    ASSERT_NO_FATAL_FAILURE(expect_next(i, (times_[i] - times_[i - 1]).count()));
  }
  EXPECT_EQ(clock_.monotonic() - began, times_.back() - times_.front());
}

TEST_F(ReplayPacingTest, FourTimesAsFastItTakesAQuarterAndHalfAsFastTwice) {
  for (const auto& [speed, times_four] : {std::pair{"4", 1}, std::pair{"\"0.5\"", 8}}) {
    ASSERT_NO_FATAL_FAILURE(begin(speed));
    // As the pacer does it, from the first event on: rounding does not add up.
    const auto since_begin = [&](std::size_t i) { return ((times_[i] - times_[0]).count() * times_four + 3) / 4; };
    for (std::size_t i = 1; i < times_.size(); ++i) {
      ASSERT_NO_FATAL_FAILURE(expect_next(i, since_begin(i) - since_begin(i - 1)));
    }
    // It may have come before the answer of the last look, or comes behind it.
    ASSERT_TRUE(ended_ || !client_->receive_type("replayed").is_null());
  }
}

TEST_F(ReplayPacingTest, APauseIsOwedNothing) {
  ASSERT_NO_FATAL_FAILURE(begin("1"));
  std::size_t i = 1;
  for (; i < 40; ++i) ASSERT_NO_FATAL_FAILURE(expect_next(i, (times_[i] - times_[i - 1]).count()));
  // A third of the gap before it, a minute in it, the rest of the gap behind it.
  const std::int64_t gap = (times_[i] - times_[i - 1]).count();
  clock_.advance(nanoseconds(gap / 3));
  client_->send(R"({"op":"pause","subscription":1})");
  ASSERT_FALSE(client_->receive_type("replay_state").is_null());
  clock_.advance(std::chrono::minutes(1));
  for (int looks = 0; looks < 3; ++looks) ASSERT_NO_FATAL_FAILURE(look());
  ASSERT_EQ(came_, i);
  client_->send(R"({"op":"resume","subscription":1})");
  ASSERT_FALSE(client_->receive_type("replay_state").is_null());
  ASSERT_NO_FATAL_FAILURE(expect_next(i, gap - gap / 3));
  for (++i; i < times_.size(); ++i) ASSERT_NO_FATAL_FAILURE(expect_next(i, (times_[i] - times_[i - 1]).count()));
}

}  // namespace
}  // namespace millrace::gateway
