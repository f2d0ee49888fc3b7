// Proves that the order ring gives entries back whole or not at all, also while it is overwritten, and finds offsets.
#include "bus/ring/order_ring.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "bus/base/fd.hpp"

namespace millrace::ring {
namespace {

OrderEntry nth(std::uint64_t i) {
  OrderEntry entry;
  entry.first_offset = Offset(i * 3);
  entry.first_sequence = Sequence(i * 3 + 1);
  entry.page = PageNumber(i + 1);
  entry.record_time = {static_cast<std::int64_t>(i) * 1000};
  entry.publisher = PublisherId(i % 7 + 1);
  entry.epoch = Epoch(i + 9);
  entry.stream = static_cast<std::uint32_t>(i % 5);
  entry.count = 3;
  entry.begin = static_cast<std::uint32_t>(i * 8);
  entry.bytes = static_cast<std::uint32_t>(i + 40);
  return entry;
}

struct Fixture {
  Mapping memory = *Mapping::anonymous(order_ring_bytes(8));
  OrderWriter writer{memory.bytes(), 8};
  OrderReader reader = *OrderReader::attach(memory.bytes());
};

TEST(OrderRing, GivesBackWhatWasAppendedUntilItIsOverwritten) {
  Fixture f;
  EXPECT_FALSE(f.reader.read(0));
  for (std::uint64_t i = 0; i < 20; ++i) f.writer.append(nth(i));
  EXPECT_EQ(f.reader.head(), 20u);
  for (std::uint64_t i = 0; i < 12; ++i) EXPECT_FALSE(f.reader.read(i));
  for (std::uint64_t i = 12; i < 20; ++i) EXPECT_EQ(f.reader.read(i), nth(i));
  EXPECT_FALSE(f.reader.read(20));
}

TEST(OrderRing, FindsTheEntryOfAnOffset) {
  Fixture f;
  EXPECT_EQ(f.reader.find(Offset(0)), 0u);
  for (std::uint64_t i = 0; i < 20; ++i) f.writer.append(nth(i));
  for (std::uint64_t offset = 36; offset < 60; ++offset) EXPECT_EQ(f.reader.find(Offset(offset)), offset / 3);
  EXPECT_EQ(f.reader.find(Offset(60)), 20u) << "not yet recorded";
  EXPECT_EQ(f.reader.find(Offset(35)), std::nullopt) << "overwritten";
}

TEST(OrderRing, IsNotAttachedOverOtherMemory) {
  Fixture f;
  auto zeros = *Mapping::anonymous(4096);
  EXPECT_EQ(OrderReader::attach(zeros.bytes()).error().code, ErrorCode::unsupported);
  EXPECT_EQ(OrderReader::attach(f.memory.bytes().first(256)).error().code, ErrorCode::corrupt);
}

TEST(OrderRing, NeverGivesATornEntryWhileItIsOverwritten) {
  Fixture f;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < 300'000; ++i) f.writer.append(nth(i));
    done = true;
  });
  std::uint64_t whole = 0;
  while (!done) {
    const std::uint64_t head = f.reader.head();
    for (std::uint64_t i = head > 8 ? head - 8 : 0; i < head; ++i) {
      if (const auto entry = f.reader.read(i)) {
        ASSERT_EQ(*entry, nth(i));
        ++whole;
      }
    }
  }
  writer.join();
  EXPECT_EQ(f.reader.read(299'999), nth(299'999));
}

TEST(OrderRing, FindsWhatIsRecordedOrSaysThatItIsOverwritten) {
  Fixture f;
  f.writer.append(nth(0));
  std::atomic<bool> done{false};
  const std::jthread writer([&] {
    for (std::uint64_t i = 1; i < 3'000'000; ++i) f.writer.append(nth(i));
    done = true;
  });
  while (!done) {
    const std::uint64_t newest = f.reader.head() - 1;
    const auto found = f.reader.find(nth(newest).first_offset);
    if (found) {
      ASSERT_EQ(*found, newest) << "what comes later is not it";
    }
  }
}

}  // namespace
}  // namespace millrace::ring
