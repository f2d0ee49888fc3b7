// Proves that the cache keeps the latest events within its limits, hands each back, and survives gaps and repeats.
#include "subscribers/realtime/tail_cache.hpp"

#include <gtest/gtest.h>

#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace millrace::gateway {
namespace {

class TailCacheTest : public ::testing::Test {
 protected:
  EventBlock block(std::uint64_t first, std::uint64_t count, std::size_t size = 64) {
    EventBlock out;
    for (std::uint64_t i = first; i < first + count; ++i) {
      const auto frame = testing::make_frame(Sequence(i + 1), WallTime{0}, Key(1), std::vector<std::byte>(size));
      out.append({Offset(i), WallTime{0}, PublisherId(1), Epoch(1), FrameView(frame.data())}, type_);
    }
    return out;
  }
  schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType& type_ = *registry_.find("trade_events");
};

TEST_F(TailCacheTest, EveryCachedEventIsFound) {
  TailCache cache(Offset(10), 1 << 20, 1000);
  for (std::uint64_t at = 10; at < 100; at += 9) cache.append(block(at, 9, 2000));
  EXPECT_EQ(cache.first(), Offset(10));
  EXPECT_EQ(cache.next(), Offset(100));
  for (std::uint64_t i = 10; i < 100; ++i) {
    EventBlock& found = cache.block_of(Offset(i));
    EXPECT_EQ(found.frame(Offset(i) - found.first()).sequence(), Sequence(i + 1));
  }
}

TEST_F(TailCacheTest, TheOldestAreForgottenBeyondTheLimits) {
  TailCache by_count(Offset(0), 1 << 30, 100);
  for (std::uint64_t i = 0; i < 1000; ++i) by_count.append(block(i, 1, 4000));
  EXPECT_LE(by_count.events(), 100u);
  EXPECT_GE(by_count.events(), 50u);
  EXPECT_EQ(by_count.next(), Offset(1000));

  TailCache by_bytes(Offset(0), 200'000, 1'000'000);
  for (std::uint64_t i = 0; i < 1000; ++i) by_bytes.append(block(i, 1, 1000));
  EXPECT_LE(by_bytes.bytes(), 200'000u);
  EXPECT_TRUE(by_bytes.reaches(Offset(1000)));
  EXPECT_FALSE(by_bytes.reaches(Offset(0)));
}

TEST_F(TailCacheTest, OffsetsThatAreGivenOutAgainTakeThePlaceOfWhatWasThere) {
  TailCache cache(Offset(0), 1 << 20, 1000);
  cache.append(block(0, 10));
  cache.restart(Offset(6));
  EXPECT_FALSE(cache.reaches(Offset(5))) << "what came before is the log's to tell";
  EXPECT_EQ(cache.next(), Offset(6));
  cache.append(block(6, 2));
  EXPECT_TRUE(cache.reaches(Offset(6)));
  EXPECT_EQ(cache.next(), Offset(8));
}

TEST_F(TailCacheTest, JsonCountsAgainstTheLimit) {
  TailCache cache(Offset(0), 200'000, 1'000'000);
  for (std::uint64_t i = 0; i < 175; ++i) cache.append(block(i, 1, 1000));
  const Offset first = cache.first();
  Counters counters;
  Body body;
  body.next = first;
  while (body.next < cache.next()) {
    gather(cache.block_of(body.next), {}, type_, {}, body, counters);
  }
  cache.trim();
  EXPECT_LE(cache.bytes(), 200'000u);
  EXPECT_GT(cache.first(), first);
}

TEST_F(TailCacheTest, RepeatedEventsAreIgnored) {
  TailCache cache(Offset(0), 1 << 20, 1000);
  cache.append(block(0, 10));
  cache.append(block(5, 3));
  EXPECT_EQ(cache.next(), Offset(10));
  cache.append(block(5, 10));
  EXPECT_EQ(cache.next(), Offset(15));
  for (std::uint64_t i = 0; i < 15; ++i) {
    EventBlock& found = cache.block_of(Offset(i));
    EXPECT_EQ(found.frame(Offset(i) - found.first()).sequence(), Sequence(i + 1));
  }
}

TEST_F(TailCacheTest, AfterAGapItKeepsWhatIsBehindIt) {
  TailCache cache(Offset(0), 1 << 20, 1000);
  cache.append(block(0, 10));
  cache.append(block(20, 5));
  EXPECT_EQ(cache.first(), Offset(20));
  EXPECT_FALSE(cache.reaches(Offset(10)));
  EXPECT_TRUE(cache.reaches(Offset(25)));
}

TEST_F(TailCacheTest, AnEventThatFailsItsVerifierIsKeptAsInvalid) {
  auto frame = testing::make_frame(Sequence(1), WallTime{0}, Key(1), std::vector<std::byte>(8));
  EventBlock events;
  events.append({Offset(0), WallTime{0}, PublisherId(1), Epoch(1), FrameView(frame.data())}, type_);
  EXPECT_FALSE(events.entry(0).valid);
  EXPECT_EQ(events.frame(0).size(), frame.size());
}

}  // namespace
}  // namespace millrace::gateway
