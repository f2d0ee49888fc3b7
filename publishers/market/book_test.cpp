// Proves that snapshot and updates become the right book, that a gap in their numbers never passes, and that the
// venues' checksums are computed over the right text.
#include <gtest/gtest.h>
#include <zlib.h>

#include "publishers/market/book_builder.hpp"

namespace millrace::market {
namespace {

BookUpdate numbered(std::uint64_t first, std::uint64_t last, std::uint64_t previous = 0) {
  BookUpdate update;
  update.instrument = "X";
  update.first = VenueNumber(first);
  update.last = VenueNumber(last);
  update.previous = VenueNumber(previous);
  update.bids = {{{100}, {static_cast<std::int64_t>(last)}}};
  return update;
}

BookUpdate snapshot(std::uint64_t last) {
  auto update = numbered(0, last);
  update.snapshot = true;
  return update;
}

// The last numbers of what was applied.
std::vector<std::uint64_t> advance_all(BookBuilder& builder) {
  std::vector<std::uint64_t> applied;
  while (true) {
    const auto update = builder.advance();
    if (!update) {
      EXPECT_EQ(update.error().code, ErrorCode::sequence_error);
      return applied.push_back(0), applied;
    }
    if (*update == nullptr) return applied;
    applied.push_back((*update)->last.value());
  }
}

std::uint32_t crc(const std::string& text) {
  return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

TEST(LevelBook, LevelsStandBestFirstAndZeroTakesThemAway) {
  LevelBook book;
  for (const std::int64_t price : {10, 12, 11, 9}) book.set(Side::buy, {{price}, {price * 10}});
  for (const std::int64_t price : {20, 18, 19}) book.set(Side::sell, {{price}, {price * 10}});
  book.set(Side::buy, {{11}, {0}});
  book.set(Side::buy, {{77}, {0}});
  book.set(Side::sell, {{18}, {5}});
  TenLevels wanted;
  wanted.bids = {{{{12}, {120}}, {{10}, {100}}, {{9}, {90}}}};
  wanted.asks = {{{{18}, {5}}, {{19}, {190}}, {{20}, {200}}}};
  EXPECT_EQ(book.ten_levels(), wanted);
}

TEST(LevelBook, LevelsBeyondTheDepthAreDropped) {
  LevelBook book(2);
  for (const std::int64_t price : {1, 2, 3}) {
    book.set(Side::buy, {{price}, {1}});
    book.set(Side::sell, {{price}, {1}});
  }
  EXPECT_EQ(book.size(Side::buy), 2U);
  EXPECT_EQ(book.level(Side::buy, 1).price, Price{2});
  EXPECT_EQ(book.level(Side::sell, 1).price, Price{2});
}

TEST(LevelBook, KrakensChecksumIsOverAsksThenBidsWithoutPointsAndLeadingZeros) {
  LevelBook book;
  book.set(Side::sell, {{541}, {75'000'000}});  // 0.00541 and 0.75000000
  book.set(Side::sell, {{542}, {1}});
  book.set(Side::buy, {{540}, {100'000'000}});
  EXPECT_EQ(kraken_checksum(book.ten_levels()), crc("541750000005421540100000000"));
}

TEST(LevelBook, OkxsChecksumTakesBidAndAskInTurnAndGoesOnWithTheLongerSide) {
  LevelBook book;
  book.set(Side::buy, {{336'650}, {7'000}});
  book.set(Side::sell, {{336'680}, {9'000}});
  book.set(Side::sell, {{336'600 + 140}, {1'500}});
  EXPECT_EQ(okx_checksum(book, {2, 3}), crc("3366.5:7:3366.8:9:3367.4:1.5"));
}

TEST(BookBuilder, UpdatesFromBeforeTheSnapshotWaitAndTheCoveredOnesAreDropped) {
  BookBuilder builder;
  for (const auto& update : {numbered(1, 4), numbered(5, 8), numbered(9, 9)}) ASSERT_TRUE(builder.offer(update));
  EXPECT_TRUE(advance_all(builder).empty());
  ASSERT_TRUE(builder.offer(snapshot(6)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{6, 8, 9}));
  EXPECT_EQ(builder.book().level(Side::buy, 0).quantity, Quantity{9});
}

TEST(BookBuilder, AGapBetweenSnapshotAndFirstUpdateIsAnError) {
  BookBuilder builder;
  ASSERT_TRUE(builder.offer(snapshot(6)));
  ASSERT_TRUE(builder.offer(numbered(8, 9)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{6, 0}));
}

TEST(BookBuilder, AGapBetweenUpdatesIsAnError) {
  BookBuilder builder;
  ASSERT_TRUE(builder.offer(snapshot(6)));
  ASSERT_TRUE(builder.offer(numbered(7, 9)));
  ASSERT_TRUE(builder.offer(numbered(11, 12)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{6, 9, 0}));
}

TEST(BookBuilder, WhereAnUpdateNamesItsPredecessorThatDecides) {
  BookBuilder builder;
  ASSERT_TRUE(builder.offer(snapshot(6)));
  ASSERT_TRUE(builder.offer(numbered(5, 9, 4)));     // reaches beyond the snapshot
  ASSERT_TRUE(builder.offer(numbered(20, 25, 9)));   // numbers of other instruments lie between
  ASSERT_TRUE(builder.offer(numbered(26, 30, 24)));  // but 24 was never seen
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{6, 9, 25, 0}));
}

TEST(BookBuilder, ANewSnapshotReplacesTheBookAndHealsAGap) {
  BookBuilder builder;
  auto first = snapshot(6);
  first.bids = {{{50}, {1}}};
  ASSERT_TRUE(builder.offer(first));
  ASSERT_TRUE(builder.offer(numbered(9, 9)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{6, 0}));
  ASSERT_TRUE(builder.offer(snapshot(20)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{20}));
  EXPECT_EQ(builder.book().size(Side::buy), 1U);
}

TEST(BookBuilder, WithoutNumbersTheSnapshotMustComeFirst) {
  BookBuilder builder;
  EXPECT_FALSE(builder.offer(numbered(0, 0)));
  ASSERT_TRUE(builder.offer(snapshot(0)));
  ASSERT_TRUE(builder.offer(numbered(0, 0)));
  EXPECT_EQ(advance_all(builder), (std::vector<std::uint64_t>{0, 0}));
}

}  // namespace
}  // namespace millrace::market
