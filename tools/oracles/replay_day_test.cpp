// Proves replay on a whole day in Shanghai: every order of it, recorded by the bus's recorder, comes back byte for
// byte, from the files alone, in the order in which it was recorded, and split over two topics in the order of time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "bus/testing/memory_bus.hpp"
#include "publishers/market/oracles.hpp"
#include "publishers/matching/translate.hpp"
#include "subscribers/historical/replay.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using millrace::testing::MemoryBus;
using millrace::testing::MemoryBusOptions;

// One topic of orders.
class Recording {
 public:
  Recording(wal::FaultFileSystem& disk, ManualClock& clock, const std::string& folder) {
    MemoryBusOptions options;
    options.folder = folder;
    options.type = "orders";
    options.page_size = 16 << 10;
    options.log.segment_size = 1 << 20;
    options.files = &disk;
    bus_.emplace(options, clock);
    publisher_ = bus_->publisher("venue");
    log_ = log_folder(folder);
    log_.files = &disk;
  }
  void publish(const matching::Command& command, const matching::InstrumentConfig& config, WallTime time) {
    const auto fill = [&](schemas::OrderCommand& into) { matching::write(command, config, "", time, into); };
    while (!publisher_->publish<schemas::OrderCommand>(fill)) bus_->step();
    schemas::OrderCommand& same = *fresh_.instantiate(payload_);
    fill(same);
    published.emplace_back(payload_.begin(), payload_.end());
  }
  void settle() { bus_->settle(); }
  [[nodiscard]] const TopicLog& log() const { return log_; }

  std::vector<std::vector<std::byte>> published;

 private:
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
  TopicLog log_;
  schemas::EventTemplate<schemas::OrderCommand> fresh_;
  std::vector<std::byte> payload_ = std::vector<std::byte>(fresh_.size());
};

struct Replayed {
  std::size_t topic;
  WallTime record_time;
  std::uint64_t offset;
  std::vector<std::byte> payload;
};
std::vector<Replayed> replay_all(std::vector<ReplayTopic> topics) {
  std::vector<Replayed> all;
  const auto replay = Replay::open(std::move(topics));
  EXPECT_TRUE(replay) << replay.error().message;
  while (replay && !(*replay)->ended() && !(*replay)->error()) {
    (*replay)->poll([&](const Event& event, std::size_t topic) {
      all.push_back(
          {topic, event.record_time, event.offset->value(), {event.payload().begin(), event.payload().end()}});
    });
  }
  EXPECT_FALSE(replay && (*replay)->error());
  return all;
}

TEST(ReplayDay, EveryOrderOfADayComesBackAsItWasRecorded) {
  const char* set = std::getenv("MILLRACE_DATA");
  const std::string data = set != nullptr ? set : MILLRACE_DATA_DEFAULT;
  if (!std::filesystem::is_directory(data)) GTEST_SKIP() << "there are no recordings; set MILLRACE_DATA";
  const auto day = market::load_sse_day(data, matching::InstrumentId(0));
  ASSERT_TRUE(day) << day.error().message;
  const auto config = day->instrument_config("600519");
  const auto& commands = day->commands();
  ASSERT_GT(commands.size(), 10'000u);

  wal::FaultFileSystem disk;
  ManualClock clock(commands.front().input.time);
  Recording whole(disk, clock, "/orders"), even(disk, clock, "/even"), odd(disk, clock, "/odd");
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const WallTime time = commands[i].input.time;
    if (time > clock.wall()) {
      for (Recording* one : {&whole, &even, &odd}) one->settle();
      if (time > clock.wall()) clock.advance(time - clock.wall());
    }
    whole.publish(commands[i].command, config, time);
    (i % 2 == 0 ? even : odd).publish(commands[i].command, config, time);
  }
  for (Recording* one : {&whole, &even, &odd}) one->settle();

  const auto all = replay_all({{.log = whole.log()}});
  ASSERT_EQ(all.size(), commands.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].offset, i);
    ASSERT_EQ(all[i].payload, whole.published[i]) << i;
    ASSERT_GE(all[i].record_time, commands[i].input.time) << i;
  }

  const auto merged = replay_all({{.log = even.log()}, {.log = odd.log()}});
  ASSERT_EQ(merged.size(), commands.size());
  EXPECT_TRUE(std::is_sorted(merged.begin(), merged.end(), [](const Replayed& a, const Replayed& b) {
    return std::tie(a.record_time, a.topic, a.offset) < std::tie(b.record_time, b.topic, b.offset);
  }));
  std::uint64_t next[2] = {};
  for (const Replayed& one : merged) {
    ASSERT_EQ(one.offset, next[one.topic]++);
    ASSERT_EQ(one.payload, (one.topic == 0 ? even : odd).published[one.offset]);
  }

  // A quarter of an hour of it is exactly what the whole replay had there.
  const WallTime from = commands[commands.size() / 3].input.time;
  const WallTime to = from + std::chrono::minutes(15);
  const auto part = replay_all({{.log = whole.log(), .from = from, .to = to, .filters = {"instrument=600519"}}});
  const auto wanted = static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [&](const Replayed& one) { return one.record_time >= from && one.record_time < to; }));
  EXPECT_GT(wanted, 100u);
  EXPECT_EQ(part.size(), wanted);
  std::printf("%zu orders of the day compared, %zu of them in a quarter of an hour\n", all.size(), wanted);
}

}  // namespace
}  // namespace millrace::historical
