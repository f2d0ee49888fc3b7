// Proves that a publisher which writes into its own ring whatever it likes harms nobody but itself: the core's words
// there are forged one by one, and the log, the readers and the next publisher of the ring go on. hostile_fuzz looks
// for what is not thought of here.
#include <gtest/gtest.h>

#include <cstring>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using ring::PageWord;
using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

// Each event says who made it.
class HostileTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t slots = 12;
  static constexpr std::uint32_t granted_at_first = 5;  // the page to begin in, and four ahead

  static MemoryBusOptions options(wal::FileSystem& files) {
    MemoryBusOptions options;
    options.folder = "t";
    options.streams = 2;
    options.ring_bytes = (slots + 2) * options.page_size;
    options.files = &files;
    return options;
  }

  static int publish(Publisher& publisher, int count) {
    for (int made = 0; made < count; ++made) {
      const auto published =
          publisher.publish<TradeEvent>([&](TradeEvent& trade) { trade.mutate_sell_order_id(publisher.id().value()); });
      if (!published) return made;
    }
    return count;
  }
  // More than a page, less than what is granted.
  static void publish_two_pages(Publisher& publisher) { ASSERT_EQ(publish(publisher, 30), 30); }

  [[nodiscard]] const ring::Ring& ring() { return bus_.writer_of(*hostile_).ring(); }
  void forge_directory(std::uint64_t word) {
    for (std::uint64_t i = 0; i < ring().directory_size(); ++i) ring().entry(PageNumber(i)).store(word);
  }

  // The hostile publisher dies, and another gets its ring.
  std::unique_ptr<Publisher> heir() {
    bus_.release(0);
    for (int i = 0; i < 100 && !bus_.recorder().drained("hostile"); ++i) bus_.step();
    EXPECT_TRUE(bus_.recorder().drained("hostile")) << "what it published is recorded";
    return bus_.publisher("heir");
  }

  // Events in the log under that name, each of which the same publisher made.
  std::uint64_t logged(PublisherId publisher) {
    bus_.settle();
    auto reader = wal::Reader::open(files_, "t");
    EXPECT_TRUE(reader);
    std::uint64_t count = 0;
    for (auto batch = reader->next(); batch && *batch; batch = reader->next()) {
      if ((*batch)->publisher != publisher) continue;
      wal::EventCursor events(**batch);
      while (const auto event = events.next()) {
        EXPECT_EQ(made_by(event->frame.payload()), publisher.value());
        ++count;
      }
    }
    return count;
  }
  static std::uint64_t made_by(std::span<const std::byte> payload) {
    return flatbuffers::GetRoot<TradeEvent>(payload.data())->sell_order_id();
  }

  // Events that a subscriber is handed now as that publisher's, each of which the same publisher made.
  static std::uint64_t polled(Subscriber& subscriber, PublisherId publisher) {
    std::uint64_t count = 0;
    subscriber.poll<TradeEvent>([&](const TradeEvent& trade, const Event& event) {
      if (event.publisher != publisher) return;
      EXPECT_EQ(trade.sell_order_id(), publisher.value());
      ++count;
    });
    return count;
  }

  wal::FaultFileSystem files_;
  ManualClock clock_;
  MemoryBus bus_{options(files_), clock_};
  std::unique_ptr<Publisher> hostile_ = bus_.publisher("hostile");  // has stream 0
};

TEST_F(HostileTest, AnEmptiedDirectoryHidesNothingFromTheLogAndIsWholeForTheNextPublisher) {
  publish_two_pages(*hostile_);
  const PublisherId id = hostile_->id();
  forge_directory(0);
  EXPECT_EQ(logged(id), 30u);
  const auto next = heir();
  auto live = bus_.subscribe(Level::live);
  ASSERT_TRUE(live);
  publish_two_pages(*next);
  EXPECT_EQ(polled(**live, next->id()), 30u);
  EXPECT_EQ(logged(next->id()), 30u);
}

TEST_F(HostileTest, ADirectoryOfPagesFarAheadLeadsNobodyAstray) {
  auto live = bus_.subscribe(Level::live);
  ASSERT_TRUE(live);
  publish_two_pages(*hostile_);
  const PublisherId id = hostile_->id();
  forge_directory(PageWord::make(PageNumber(1ull << 39), 3).bits);
  ring().header().core.granted.store(1ull << 39);
  (void)polled(**live, id);
  EXPECT_EQ(logged(id), 30u);
  const auto next = heir();
  EXPECT_EQ(polled(**live, next->id()), 0u);
  publish_two_pages(*next);
  EXPECT_EQ(polled(**live, next->id()), 30u) << "a reader that was led away comes back";
}

TEST_F(HostileTest, ForgedCountOfGrantedPagesNeitherHidesEventsNorMakesTheNameFreeBeforeTheyAreRecorded) {
  publish_two_pages(*hostile_);
  for (const std::uint64_t forged : {std::uint64_t{0}, std::uint64_t{1} << 39}) {
    ring().header().core.granted.store(forged);
    EXPECT_FALSE(bus_.recorder().drained("hostile")) << forged;
  }
  ring().header().core.granted.store(0);
  EXPECT_EQ(logged(hostile_->id()), 30u);
  EXPECT_TRUE(bus_.recorder().drained("hostile"));
}

TEST_F(HostileTest, PagesThatNameTheNextPublisherAreNotTakenForIts) {
  auto live = bus_.subscribe(Level::live);
  ASSERT_TRUE(live);
  publish_two_pages(*hostile_);
  const PublisherId to_come = hostile_->id().next();
  for (std::uint32_t slot = 0; slot < slots; ++slot) ring().core_line(slot).publisher.store(to_come.value());
  EXPECT_EQ(polled(**live, to_come), 0u);
  const auto next = heir();
  ASSERT_EQ(next->id(), to_come);
  publish_two_pages(*next);
  EXPECT_EQ(polled(**live, to_come), 30u) << "none of them passes for one that was shown";
  EXPECT_EQ(logged(to_come), 30u);
}

TEST_F(HostileTest, PagesThatNameAnotherPublisherAreRecordedAsTheirOwnAndShownAsNobodys) {
  const auto honest = bus_.publisher("honest");
  auto live = bus_.subscribe(Level::live);
  ASSERT_TRUE(live);
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    ring().core_line(slot).publisher.store(honest->id().value());
    ring().core_line(slot).epoch.store(7);
  }
  publish_two_pages(*hostile_);
  EXPECT_FALSE(bus_.recorder().drained("hostile"));
  ASSERT_EQ(publish(*honest, 3), 3);
  EXPECT_EQ(polled(**live, honest->id()), 3u);
  EXPECT_EQ(logged(honest->id()), 3u);
  EXPECT_EQ(logged(hostile_->id()), 30u);
}

TEST_F(HostileTest, LengthThatGrowsAfterItWasCheckedReachesBeyondNothing) {
  for (const Level level : {Level::live, Level::recorded}) {
    auto subscriber = bus_.subscribe(level);
    ASSERT_TRUE(subscriber);
    ASSERT_EQ(publish(*hostile_, 3), 3);
    bus_.settle();
    int seen = 0;
    (*subscriber)->poll([&](const Event& event) {
      const std::size_t size = event.payload().size();
      auto& header = const_cast<FrameHeader&>(event.frame.header());  // as its publisher sees it
      const std::uint32_t honest = header.length;
      header.length = 1 << 30;
      EXPECT_EQ(event.payload().size(), size);
      EXPECT_EQ(event.frame.size(), frame_size(size));
      header.length = honest;
      ++seen;
    });
    EXPECT_EQ(seen, 3);
  }
}

TEST_F(HostileTest, CommitWordsLeftBehindForPagesToComeAreNotTakenForTheNextPublishers) {
  const int a_pageful = publish(*hostile_, 10);
  ASSERT_EQ(a_pageful, 10);
  const std::uint32_t bytes = ring().extent(PageNumber(1), 0).bytes;
  // Pages are granted slot by slot at first: these will be the next publisher's, numbers 6 and up.
  for (std::uint32_t slot = granted_at_first; slot < slots; ++slot) {
    std::memcpy(ring().frames(slot), ring().frames(0), bytes);
    ring().page_header(slot).publisher.commit.store(PageWord::make(PageNumber(slot + 1), bytes, true).bits);
  }
  const auto next = heir();
  auto live = bus_.subscribe(Level::live);
  ASSERT_TRUE(live);
  EXPECT_EQ(logged(next->id()), 0u) << "it has published nothing yet";
  publish_two_pages(*next);
  EXPECT_EQ(polled(**live, next->id()), 30u);
  EXPECT_EQ(logged(next->id()), 30u);
}

}  // namespace
}  // namespace millrace
