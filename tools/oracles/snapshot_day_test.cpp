// Proves snapshots on recorded markets: the books and trades of a day in Shanghai and of crypto venues, in logs of many
// segments whose keys are noted, as of random offsets against a full scan, and with what follows against the whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "bus/testing/memory_bus.hpp"
#include "publishers/market/oracles.hpp"
#include "publishers/market/translate.hpp"
#include "subscribers/historical/replay.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::historical {
namespace {

using millrace::testing::MemoryBus;
using millrace::testing::MemoryBusOptions;

// One topic, in memory.
template <class Table>
class Recording {
 public:
  Recording(wal::FaultFileSystem& disk, ManualClock& clock, const char* type) : disk_(&disk), clock_(&clock) {
    MemoryBusOptions options;
    options.folder = std::string("/") + type;
    options.type = type;
    options.page_size = 16 << 10;
    options.log.segment_size = 1 << 20;
    options.files = &disk;
    log_ = log_folder(options.folder);
    log_.files = &disk;
    bus_.emplace(options, clock);
    publisher_ = bus_->publisher("venue");
  }
  template <class Data>
  void publish(const Data& data) {
    while (!publisher_->publish<Table>([&](Table& into) { market::write(data, into); })) {
      bus_->step();
      (void)bus_->keep_house();
    }
    ++published;
  }
  void settle() {
    for (bus_->settle(); bus_->marks().topic.synced_end < published; bus_->settle()) (void)bus_->keep_house();
    while (bus_->keep_house()) clock_->advance(std::chrono::milliseconds(20));
  }
  // Segments whose keys are noted, of all.
  [[nodiscard]] std::pair<std::size_t, std::size_t> noted() const {
    const auto names = disk_->list(log_.folder).value();
    const auto count = [&](std::string_view end) {
      return static_cast<std::size_t>(
          std::ranges::count_if(names, [&](const auto& name) { return name.ends_with(end); }));
    };
    return {count(".keys"), count(".wal")};
  }
  [[nodiscard]] const TopicLog& log() const { return log_; }

  std::uint64_t published = 0;

 private:
  wal::FaultFileSystem* disk_;
  ManualClock* clock_;
  TopicLog log_;
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
};

struct Value {
  std::uint64_t offset;
  Key hash;  // of the payload
  bool operator==(const Value&) const = default;
};
using State = std::map<std::string, Value>;

template <class Table>
void note(std::span<const std::byte> payload, std::uint64_t offset, State& state) {
  const auto& table = *flatbuffers::GetRoot<Table>(payload.data());
  const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
  state.insert_or_assign(std::string(schemas::text(table.instrument())), Value{offset, key_of(bytes)});
}

template <class Table>
void check(wal::FaultFileSystem& disk, const Recording<Table>& recording) {
  const auto [noted, segments] = recording.noted();
  ASSERT_GT(segments, 3u);
  ASSERT_GE(noted + 1, segments) << "all but the one that is written to";
  const std::uint64_t size = recording.published;
  std::mt19937_64 random(17);
  std::vector<std::uint64_t> places{0, size};
  while (places.size() < 60) places.push_back(random() % size);
  std::ranges::sort(places);

  // By reading everything.
  std::vector<State> scanned;
  State state;
  std::uint64_t offset = 0;
  auto reader = wal::Reader::open(disk, recording.log().folder);
  ASSERT_TRUE(reader);
  for (auto batch = reader->next(); batch && *batch; batch = reader->next()) {
    wal::EventCursor events(**batch);
    while (const auto event = events.next()) {
      while (scanned.size() < places.size() && places[scanned.size()] == offset) scanned.push_back(state);
      ASSERT_EQ(event->offset, Offset(offset));
      note<Table>(event->frame.payload(), offset++, state);
    }
  }
  ASSERT_EQ(offset, size);
  while (scanned.size() < places.size()) scanned.push_back(state);
  ASSERT_GT(state.size(), 2u);

  std::size_t values = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto replay = Replay::open({{.log = recording.log(), .from = Offset(places[i]), .snapshot = true}});
    ASSERT_TRUE(replay) << replay.error().message;
    State told;
    std::uint64_t next = places[i];
    std::size_t given = 0;
    while (!(*replay)->ended() && !(*replay)->error()) {
      (*replay)->poll([&](const Event& event, std::size_t) {
        if (event.snapshot) {
          ++given;
        } else {
          ASSERT_EQ(event.offset, Offset(next++));
          if (event.offset->value() == places[i]) {
            ASSERT_EQ(told, scanned[i]) << places[i];
          }
        }
        note<Table>(event.payload(), event.offset->value(), told);
      });
      if (::testing::Test::HasFailure()) return;
      if (i % 8 != 0 && next > places[i]) break;  // with all that follows only for some
    }
    ASSERT_EQ(given, scanned[i].size());
    if (places[i] == size) {
      ASSERT_EQ(told, scanned[i]);
    }
    if (i % 8 == 0) {
      ASSERT_EQ(told, state) << "from " << places[i];
      ASSERT_EQ(next, size);
    }
    values += given;
  }
  std::printf("%lu events of %zu instruments in %zu segments: %zu values of %zu snapshots\n", size, state.size(),
              segments, values, places.size());
}

TEST(SnapshotDay, AsOfAnyOffsetIsWhatAFullScanFindsAndWithTheRestTheWhole) {
  const char* set = std::getenv("MILLRACE_DATA");
  const std::string data = set != nullptr ? set : MILLRACE_DATA_DEFAULT;
  if (!std::filesystem::is_directory(data)) GTEST_SKIP() << "there are no recordings; set MILLRACE_DATA";
  wal::FaultFileSystem disk;
  ManualClock clock;
  Recording<schemas::MarketL2> books(disk, clock, "market_l2");
  Recording<schemas::TradeEvent> trades(disk, clock, "trade_events");
  // One behind the other: the values of the earlier ones lie ever further back.
  constexpr std::size_t events_max = 60'000;  // of each
  for (const market::OracleSpec& spec : market::all_oracles()) {
    const std::string_view name = spec.name;
    if (name != "sse-600519" && name != "binance-spot" && name != "kraken" && name != "okx") continue;
    auto oracle = spec.open(data);
    ASSERT_TRUE(oracle) << name << ": " << oracle.error().message;
    for (std::size_t i = 0; name == "sse-600519" || i < events_max; ++i) {
      const auto event = oracle->replay->next();
      ASSERT_TRUE(event) << name << ": " << event.error().message;
      if (!*event) break;
      if (const auto* book = std::get_if<market::BookView>(&**event)) books.publish(*book);
      if (const auto* trade = std::get_if<market::TradePrint>(&**event)) trades.publish(*trade);
    }
  }
  books.settle();
  trades.settle();
  ASSERT_NO_FATAL_FAILURE(check(disk, books));
  ASSERT_NO_FATAL_FAILURE(check(disk, trades));
}

}  // namespace
}  // namespace millrace::historical
