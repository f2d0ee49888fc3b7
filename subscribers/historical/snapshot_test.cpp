// Proves that a replay which begins with a snapshot has, at any moment, the state that a reader of everything has: from
// any place, by files and by a bus, while keys are noted and segments are sealed, after seeks and after roll-backs; and
// that the snapshot is due at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "bus/testing/memory_bus.hpp"
#include "subscribers/historical/replay.hpp"
#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using namespace std::chrono_literals;
using millrace::testing::MemoryBus;
using millrace::testing::MemoryBusOptions;
using schemas::TradeEvent;
using testing::at;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TradeLog;

using State = std::map<std::string, std::uint64_t>;  // instrument to the offset of its last trade

std::string instrument_of(const Event& event) {
  return std::string(schemas::text(flatbuffers::GetRoot<TradeEvent>(event.payload().data())->instrument()));
}

// What one replay handed over of one topic, held against what it may rely on.
struct Told {
  State state;
  std::vector<std::uint64_t> snapshot;  // offsets
  std::vector<std::uint64_t> events;    // likewise, of the rest
  std::optional<std::uint64_t> next;

  void operator()(const Event& event) {
    const std::uint64_t offset = event.offset->value();
    const std::string instrument = instrument_of(event);
    ASSERT_EQ(event.sequence(), Sequence(offset + 1));
    ASSERT_EQ(flatbuffers::GetRoot<TradeEvent>(event.payload().data())->buy_order_id(), offset + 1);
    if (event.snapshot) {
      ASSERT_THAT(events, IsEmpty()) << "the snapshot comes first";
      ASSERT_TRUE(state.emplace(instrument, offset).second) << "one event a key";
      ASSERT_TRUE(snapshot.empty() || offset > snapshot.back()) << "ascending";
      snapshot.push_back(offset);
      return;
    }
    if (next) {
      ASSERT_EQ(offset, *next) << "no hole and no duplicate";
    }
    ASSERT_TRUE(snapshot.empty() || offset > snapshot.back());
    next = offset + 1;
    events.push_back(offset);
    state[instrument] = offset;
  }
};
Told take(Replay& replay, std::size_t limit = 100'000) {
  Told told;
  std::size_t seen = 0;
  const auto keep = [&](const Event& event, std::size_t) { ++seen, told(event); };
  while (seen < limit && replay.poll(keep, std::min<std::size_t>(limit - seen, 97)) > 0) {
  }
  return told;
}

State state_before(const std::vector<std::string>& trades, std::uint64_t end) {
  State state;
  for (std::uint64_t i = 0; i < end; ++i) state[trades[i]] = i;
  return state;
}
std::unique_ptr<Replay> open(std::vector<ReplayTopic> topics, ReplayOptions options = {}) {
  auto replay = Replay::open(std::move(topics), std::move(options));
  EXPECT_TRUE(replay) << replay.error().message;
  return replay ? std::move(*replay) : nullptr;
}

// Five instruments that trade often, and thirty that seldom do: their last trade lies segments back.
std::string any_instrument(std::mt19937_64& random) {
  return random() % 100 == 0 ? "RARE" + std::to_string(random() % 30) : std::string(1, char('A' + random() % 5));
}

TEST(ReplaySnapshot, OfFilesWithWhatFollowsIsTheStateOfAFullScanFromAnyPlace) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  std::mt19937_64 random(11);
  std::vector<std::string> trades;
  std::vector<std::uint64_t> firsts;  // of each batch, which is recorded at the second of its number
  for (int i = 0; i < 700; ++i) {
    std::vector<std::string> batch(1 + random() % 4);
    for (std::string& one : batch) one = any_instrument(random);
    firsts.push_back(trades.size());
    trades.insert(trades.end(), batch.begin(), batch.end());
    log.add(at(i), batch);
  }
  ASSERT_GT(wal::testing::segment_paths(disk, log.folder()).size(), 5u);
  const std::uint64_t size = trades.size();
  const State whole = state_before(trades, size);
  ASSERT_GT(whole.size(), 15u);
  for (int i = 0; i < 120; ++i) {
    From from = Offset(random() % (size + 1));
    std::uint64_t first = std::get<Offset>(from).value();
    if (i % 3 == 1) {
      const auto second = random() % firsts.size();
      from = at(static_cast<double>(second));
      first = firsts[second];
    }
    if (i == 0) from = StartEarliest{}, first = 0;
    if (i == 2) from = StartLatest{}, first = size;
    const auto replay = open({{.log = log.log(), .from = from, .snapshot = true}});
    ASSERT_FALSE(replay->ended());
    const std::size_t values = state_before(trades, first).size();
    const Told part = take(*replay, values);
    ASSERT_EQ(part.state, state_before(trades, first)) << "as of " << first;
    ASSERT_EQ(part.snapshot.size(), values);
    ASSERT_EQ(replay->position(), Offset(first));
    ASSERT_FALSE(replay->record_time());
    const Told rest = take(*replay);
    ASSERT_THAT(rest.snapshot, IsEmpty());
    ASSERT_EQ(rest.events, testing::run(first, size));
    ASSERT_TRUE(replay->ended());
    ASSERT_EQ(replay->counts().handed_over, values + size - first);
    ASSERT_EQ(take(*open({{.log = log.log(), .from = from, .snapshot = true}})).state, whole);
  }
}

TEST(ReplaySnapshot, KeepsWhatTheLogKnowsOfEachEvent) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  for (int i = 0; i < 9; ++i) log.add(at(i), {"A", "B", i < 4 ? "C" : "A"});
  const auto replay = open({{.log = log.log(), .from = at(6), .snapshot = true}});
  std::vector<std::pair<std::uint64_t, WallTime>> told;
  replay->poll([&](const Event& event, std::size_t topic) {
    EXPECT_EQ(topic, 0u);
    EXPECT_EQ(event.publisher, wal::testing::publisher);
    EXPECT_EQ(event.epoch, Epoch(1));
    EXPECT_EQ(replay->type()->name(), "trade_events");
    if (event.snapshot) told.emplace_back(event.offset->value(), event.record_time);
  });
  EXPECT_THAT(told, ElementsAre(std::pair(11ul, at(3)), std::pair(16ul, at(5)), std::pair(17ul, at(5))));
}

TEST(ReplaySnapshot, IsDueAtOnceWhilePausedAndAtAnySpeedAndSpendsNoStep) {
  wal::FaultFileSystem disk;
  ManualClock clock;
  TradeLog log(disk);
  for (int i = 0; i < 10; ++i) log.add(at(i), {std::string(1, char('A' + i % 3))});
  const auto replay = open({{.log = log.log(), .from = Offset(6), .snapshot = true}},
                           {.speed = as_recorded, .paused = true, .clock = &clock});
  EXPECT_THAT(take(*replay, 1).snapshot, ElementsAre(3));
  replay->step(1);
  EXPECT_FALSE(replay->seek(Offset(11))) << "there is no such place, and nothing has changed";
  EXPECT_THAT(take(*replay, 1).snapshot, ElementsAre(4));
  const Told rest = take(*replay);
  EXPECT_THAT(rest.snapshot, ElementsAre(5));
  EXPECT_THAT(rest.events, ElementsAre(6));
  EXPECT_TRUE(replay->paused());

  ASSERT_TRUE(replay->seek(at(2)));
  const Told sought = take(*replay);
  EXPECT_THAT(sought.snapshot, ElementsAre(0, 1)) << "the state at the place, though it is paused";
  EXPECT_THAT(sought.events, IsEmpty());

  ASSERT_TRUE(replay->seek(Offset(8)));
  replay->resume();
  const Told running = take(*replay);
  EXPECT_THAT(running.snapshot, ElementsAre(5, 6, 7));
  EXPECT_THAT(running.events, ElementsAre(8)) << "the first is due with it, the next a second later";
  clock.advance(999ms);
  EXPECT_THAT(take(*replay).events, IsEmpty());
  clock.advance(1ms);
  EXPECT_THAT(take(*replay).events, ElementsAre(9));
  EXPECT_TRUE(replay->ended());
}

TEST(ReplaySnapshot, EachTopicHasItsOwnBeforeAnyEventAndItsFilter) {
  wal::FaultFileSystem disk;
  TradeLog a(disk, "/a"), b(disk, "/b"), c(disk, "/c");
  for (int i = 0; i < 6; ++i) {
    a.add(at(i), {"A", "X"});
    b.add(at(i), {"B", "X", "Y"});
    c.add(at(i), {"C"});
  }
  const auto replay = open({{.log = a.log(), .from = at(4), .snapshot = true},
                            {.log = b.log(), .from = at(5), .filters = {"instrument=X"}, .snapshot = true},
                            {.log = c.log(), .from = at(5)}});
  using Handed = std::tuple<std::size_t, std::uint64_t, bool>;
  std::vector<Handed> told;
  const auto keep = [&](const Event& event, std::size_t topic) {
    told.emplace_back(topic, event.offset->value(), event.snapshot);
  };
  while (replay->poll(keep, 2) > 0) {
  }
  const std::vector<Handed> first{{0, 6, true}, {0, 7, true}, {1, 13, true}};
  const std::vector<Handed> then{{0, 8, false},  {0, 9, false},  {0, 10, false},
                                 {0, 11, false}, {1, 16, false}, {2, 5, false}};
  std::vector<Handed> wanted = first;
  wanted.insert(wanted.end(), then.begin(), then.end());
  EXPECT_EQ(told, wanted);
  EXPECT_EQ(replay->counts().late, 0u);

  told.clear();
  ASSERT_TRUE(replay->seek(Offset(4), 0));  // recorded at 2
  while (told.size() < 4 && replay->poll(keep, 4 - told.size()) > 0) {
  }
  EXPECT_THAT(told, ElementsAre(Handed(0, 2, true), Handed(0, 3, true), Handed(1, 4, true), Handed(0, 4, false)));
}

TEST(ReplaySnapshot, WhereThereIsNothingBeforeThePlaceThereIsNone) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  const auto empty = open({{.log = log.log(), .to = ToNever{}, .snapshot = true}});
  EXPECT_THAT(take(*empty).events, IsEmpty());
  log.add_every(0, 1, 3);
  const Told told = take(*empty);
  EXPECT_THAT(told.snapshot, IsEmpty());
  EXPECT_THAT(told.events, ElementsAre(0, 1, 2));
  ASSERT_TRUE(empty->seek(Offset(2)));
  EXPECT_THAT(take(*empty).snapshot, ElementsAre(1)) << "the log had no event when it was opened";
}

TEST(ReplaySnapshot, IsRefusedWhereItCannotBeTold) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  for (int i = 0; i < 100; ++i) log.add(at(i), {"A", "B", "C"});
  TopicLog without_types = log.log();
  without_types.types = nullptr;
  const auto unknown = Replay::open({{.log = without_types, .from = Offset(9), .snapshot = true}});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("trades: there is no snapshot of its events, of type 1"));

  // What is lost may have been newer: no snapshot behind it, whoever listens.
  auto& bytes = *disk.bytes_of(wal::testing::segment_paths(disk, log.folder()).at(0));
  const auto frame = testing::trade(31, "A");
  const auto bad = std::search(bytes.begin(), bytes.end(), frame.begin(), frame.end());
  ASSERT_NE(bad, bytes.end());
  *(bad + 60) ^= std::byte{1};
  const auto damaged =
      Replay::open({{.log = log.log(), .from = Offset(40), .snapshot = true}}, {.on_notice = [](const Notice&) {}});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
  const auto replay = open({{.log = log.log(), .from = Offset(20), .snapshot = true}});
  EXPECT_THAT(take(*replay, 5).snapshot, ElementsAre(17, 18, 19));
  EXPECT_FALSE(replay->seek(at(50)));
  EXPECT_THAT(take(*replay, 3).events, ElementsAre(22, 23, 24)) << "nothing has changed";
}

TEST(ReplaySnapshot, ComesAnewWhereFilesTookEventsBack) {
  wal::FaultFileSystem disk;
  std::optional<TradeLog> log(std::in_place, disk);
  log->add(at(0), {"A", "B", "A"});
  const auto kept = *disk.bytes_of(wal::testing::segment_paths(disk, "/trades").at(0));
  const TopicLog where = log->log();
  log->add(at(1), {"B", "C", "C", "B"});
  const auto replay =
      open({{.log = where, .from = Offset(5), .to = ToNever{}, .snapshot = true}}, {.on_notice = [](const Notice&) {}});
  const Told before = take(*replay);
  EXPECT_THAT(before.snapshot, ElementsAre(2, 3, 4));
  EXPECT_THAT(before.events, ElementsAre(5, 6));
  log.reset();
  *disk.bytes_of(wal::testing::segment_paths(disk, "/trades").at(0)) = kept;  // the power goes, and the last batch
  log.emplace(disk);
  ASSERT_EQ(log->writer().next_offset(), Offset(3));
  log->add(at(2), {"D", "A", "D", "D", "E"});
  Told anew;
  for (int i = 0; i < 100 && anew.snapshot.empty(); ++i) anew = take(*replay);  // looked for only now and then
  EXPECT_THAT(anew.snapshot, ElementsAre(1, 2));
  EXPECT_THAT(anew.events, ElementsAre(3, 4, 5, 6, 7));
}

// A topic of a bus that seals small segments and notes their keys.
class BusTopic {
 public:
  BusTopic(wal::FaultFileSystem& disk, ManualClock& clock) : disk_(&disk), clock_(&clock) {
    MemoryBusOptions options;
    options.folder = "/log";
    options.files = &disk;
    options.log.segment_size = 64 * 1024;
    bus_.emplace(options, clock);
    publisher_ = bus_->publisher("maker");
  }
  void publish(std::size_t count, std::mt19937_64& random) {
    for (const std::size_t end = trades.size() + count; trades.size() < end;) {
      const std::string instrument = any_instrument(random);
      const auto done = publisher_->publish<TradeEvent>([&](TradeEvent& trade) {
        trade.mutate_buy_order_id(trades.size() + 1);
        schemas::set_text(trade.mutable_instrument(), instrument);
      });
      if (done) {
        trades.push_back(instrument);
      } else {
        bus_->step();
      }
    }
    // A recorder without a segment prepared waits for housekeeping.
    for (bus_->settle(); bus_->marks().topic.synced_end < trades.size(); bus_->settle()) (void)bus_->keep_house();
  }
  void keep_house() {
    for (int i = 0; i < 200 && bus_->keep_house(); ++i) clock_->advance(20ms);
  }
  [[nodiscard]] TopicLog log(Level level) {
    TopicLog log = log_folder("/log");
    log.files = disk_;
    log.subscribe = [this, level](const Start& start, Follower::OnGap on_gap) {
      return bus_->subscribe(level, start, std::move(on_gap));
    };
    log.end = [this, level] {
      const auto& marks = bus_->marks().topic;
      return Result<Offset>(Offset((level == Level::synced ? marks.synced_end : marks.recorded_end).load()));
    };
    return log;
  }
  [[nodiscard]] MemoryBus& bus() { return *bus_; }

  std::vector<std::string> trades;

 private:
  wal::FaultFileSystem* disk_;
  ManualClock* clock_;
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
};

TEST(ReplaySnapshot, OfABusGoesOnIntoLiveWhileKeysAreNotedAndTheCoreDies) {
  wal::FaultFileSystem disk;
  ManualClock clock;
  BusTopic topic(disk, clock);
  std::mt19937_64 random(5);
  struct Reader {
    std::unique_ptr<Replay> replay;
    std::uint64_t first;
    Told told;
  };
  std::vector<Reader> readers;
  for (int round = 0; round < 60; ++round) {
    topic.publish(random() % 120, random);
    if (random() % 2 == 0) topic.keep_house();
    if (round % 20 == 19) topic.bus().restart_core();
    if (round % 3 == 0) {
      const std::uint64_t first = random() % 3 == 0 ? topic.trades.size() : random() % (topic.trades.size() + 1);
      readers.push_back({open({{.log = topic.log(round % 2 == 0 ? Level::recorded : Level::synced),
                                .from = Offset(first),
                                .to = ToNever{},
                                .snapshot = true}},
                              {.clock = &clock}),
                         first,
                         {}});
    }
    for (Reader& reader : readers) {
      const auto keep = [&](const Event& event, std::size_t) { reader.told(event); };
      for (int i = 0; i < 50 && reader.replay->poll(keep, 40) > 0; ++i) {
      }
      ASSERT_FALSE(reader.replay->error()) << reader.replay->error()->message;
      ASSERT_FALSE(HasFailure());
      if (reader.told.events.empty()) continue;
      ASSERT_EQ(reader.told.events.front(), reader.first);
      ASSERT_EQ(reader.told.state, state_before(topic.trades, *reader.told.next));
    }
  }
  topic.keep_house();
  topic.publish(50, random);
  const auto names = disk.list("/log").value();
  EXPECT_GT(std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".keys"); }), 3)
      << "housekeeping notes keys";
  std::size_t snapshots = 0;
  const State now = state_before(topic.trades, topic.trades.size());
  for (Reader& reader : readers) {
    const auto keep = [&](const Event& event, std::size_t) { reader.told(event); };
    while (reader.replay->poll(keep) > 0) {
    }
    EXPECT_EQ(reader.told.state, now);
    EXPECT_EQ(reader.told.events.size(), topic.trades.size() - reader.first);
    EXPECT_EQ(reader.told.snapshot.size(), state_before(topic.trades, reader.first).size());
    snapshots += reader.told.snapshot.size();

    // By the notes: as of any place again.
    const std::uint64_t place = random() % (topic.trades.size() + 1);
    ASSERT_TRUE(reader.replay->seek(Offset(place)));
    const std::size_t values = state_before(topic.trades, place).size();
    Told anew = take(*reader.replay, values);
    EXPECT_EQ(anew.snapshot.size(), values);
    EXPECT_EQ(anew.state, state_before(topic.trades, place));
    EXPECT_EQ(take(*reader.replay).events, testing::run(place, topic.trades.size()));
  }
  EXPECT_GT(snapshots, 200u);
}

}  // namespace
}  // namespace millrace::historical
