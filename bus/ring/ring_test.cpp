// Proves what writer and reader promise each other over one ring: order, batches kept whole, nothing visible before it
// is committed, no belief in a hostile page, and no byte overwritten under a reader while all run at full speed.
#include "bus/ring/ring.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "bus/base/fd.hpp"
#include "bus/ring/pages.hpp"
#include "bus/ring/reader.hpp"
#include "bus/ring/writer.hpp"

namespace millrace::ring {
namespace {

constexpr std::size_t page_size = 4096;

struct Fixture {
  Mapping memory;
  Ring ring;
  Pages pages;

  explicit Fixture(std::size_t slots = 16, StallPolicy policy = StallPolicy::block, std::uint32_t grant_ahead = 2)
      : memory(*Mapping::anonymous(page_size * (slots + 1))),
        ring(*Ring::create(memory.bytes(), page_size)),
        pages(ring, grant_ahead, policy) {
    pages.assign(PublisherId(1), Epoch(1));
  }
  void release_all() { pages.hold_from(PageNumber(1ull << 39)); }
};

// Payload: its sequence, repeated.
Writer::Claim put(Writer& writer, std::size_t words) {
  const auto claim = writer.claim(words * 8);
  if (claim.status == ClaimStatus::ok) {
    for (std::size_t i = 0; i < words; ++i) {
      const std::uint64_t value = writer.next_sequence().value();
      std::memcpy(claim.payload.data() + i * 8, &value, 8);
    }
    writer.commit({});
  }
  return claim;
}

// Reads all there is; returns the last sequence. Fails on a gap within it, and on a payload that is not the frame's.
std::uint64_t read_all(Reader& reader, std::uint64_t last) {
  for (auto bytes = reader.available(); !bytes.empty(); bytes = reader.available()) {
    FrameCursor cursor(bytes);
    while (const auto frame = cursor.next()) {
      EXPECT_EQ(frame->sequence().value(), last + 1);
      last = frame->sequence().value();
      for (std::size_t i = 0; i < frame->payload().size(); i += 8) {
        std::uint64_t value;
        std::memcpy(&value, frame->payload().data() + i, 8);
        EXPECT_EQ(value, last);
      }
    }
    EXPECT_FALSE(cursor.malformed());
    reader.consume(bytes.size());
  }
  return last;
}

TEST(Ring, CarriesEventsInOrderAcrossPages) {
  Fixture f;
  f.release_all();
  Word lease{0};
  f.pages.set_leases({&lease});
  Reader reader(f.ring, lease);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  std::uint64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(put(writer, static_cast<std::size_t>(1 + i % 40)).status, ClaimStatus::ok);
    f.pages.do_work();
    if (i % 7 == 0) last = read_all(reader, last);
  }
  EXPECT_EQ(read_all(reader, last), 2000u);
  EXPECT_EQ(reader.laps(), 0u);
  EXPECT_EQ(reader.publisher(), PublisherId(1));
}

TEST(Ring, ShowsNothingBeforeItIsCommitted) {
  Fixture f;
  Word lease{0};
  Reader reader(f.ring, lease);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(writer.claim(64).status, ClaimStatus::ok);
  EXPECT_TRUE(reader.available().empty());
  writer.abort();
  ASSERT_EQ(put(writer, 1).status, ClaimStatus::ok);
  EXPECT_EQ(read_all(reader, 0), 1u) << "an aborted claim uses no sequence";
}

TEST(Ring, CommitsABatchWholeAndMovesItToTheNextPageRatherThanSplitIt) {
  Fixture f;
  Word lease{0};
  Reader reader(f.ring, lease);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(put(writer, 300).status, ClaimStatus::ok);
  std::uint64_t last = read_all(reader, 0);
  writer.begin_batch();
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(put(writer, 50).status, ClaimStatus::ok);
    EXPECT_TRUE(reader.available().empty());
  }
  writer.end_batch();
  const auto bytes = reader.available();
  EXPECT_EQ(bytes.size(), 6 * frame_size(400));
  EXPECT_EQ(reader.page(), PageNumber(2));
  last = read_all(reader, last);
  EXPECT_EQ(last, 7u);
  writer.begin_batch();
  ASSERT_EQ(put(writer, 5).status, ClaimStatus::ok);
  writer.abort_batch();
  EXPECT_EQ(writer.next_sequence(), Sequence(8));
  ASSERT_EQ(put(writer, 5).status, ClaimStatus::ok);
  EXPECT_EQ(read_all(reader, last), 8u);
}

TEST(Ring, RefusesAnEventLargerThanAPageAndABatchThatOutgrowsOne) {
  Fixture f;
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  EXPECT_EQ(writer.claim(page_size).status, ClaimStatus::too_large);
  EXPECT_EQ(writer.claim(f.ring.page_capacity() - frame_header_size).status, ClaimStatus::ok);
  writer.abort();
  writer.begin_batch();
  while (put(writer, 100).status == ClaimStatus::ok) {
  }
  EXPECT_EQ(put(writer, 100).status, ClaimStatus::too_large);
  writer.end_batch();
  EXPECT_EQ(writer.next_sequence(), Sequence(5)) << "what had fitted is published";
}

TEST(Ring, ZeroesThePaddingBehindAnEvent) {
  Fixture f;
  Word lease{0};
  Reader reader(f.ring, lease);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  const auto claim = writer.claim(16);
  std::memset(claim.payload.data(), 0xff, 16);
  writer.commit({}, 3);
  const auto bytes = reader.available();
  ASSERT_EQ(bytes.size(), 48u);
  EXPECT_EQ(bytes[42], std::byte{0xff});
  for (std::size_t i = 43; i < 48; ++i) EXPECT_EQ(bytes[i], std::byte{0});
}

TEST(Ring, BelievesNoWordOfAHostilePage) {
  Fixture f;
  Word lease{0};
  Reader reader(f.ring, lease);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(put(writer, 1).status, ClaimStatus::ok);
  f.ring.page_header(0).publisher.commit.store(PageWord::make(PageNumber(1), PageWord::number_mask).bits);
  EXPECT_EQ(reader.available().size(), f.ring.page_capacity());
  f.ring.entry(PageNumber(1)).store(PageWord::make(PageNumber(1), 9999).bits);
  Word other{0};
  Reader second(f.ring, other);
  EXPECT_TRUE(second.available().empty()) << "a slot out of range is no slot";
}

TEST(Ring, AttachRefusesWhatIsNoRing) {
  Fixture f;
  EXPECT_TRUE(Ring::attach(f.memory.bytes()));
  EXPECT_EQ(Ring::attach(f.memory.bytes().first(100)).error().code, ErrorCode::corrupt);
  EXPECT_EQ(Ring::attach(f.memory.bytes().first(8192)).error().code, ErrorCode::corrupt);
  f.ring.header().fixed.version = 99;
  EXPECT_EQ(Ring::attach(f.memory.bytes()).error().code, ErrorCode::unsupported);
  EXPECT_EQ(Ring::create(f.memory.bytes(), 5000).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Ring::create(f.memory.bytes().first(4096), 4096).error().code, ErrorCode::invalid_argument);
}

// The lease protocol under load: one writer, a core that recycles as hard as it can, readers of all speeds. Payloads
// are re-read after a pause, so that an overwritten page would show.
TEST(Ring, NeverOverwritesALeasedPageAtFullSpeed) {
  constexpr std::size_t reader_count = 3;
  constexpr std::uint64_t events = 300'000;
  Fixture f(2 + reader_count + 4, StallPolicy::live_only);
  std::vector<Word> leases(reader_count);
  std::vector<const Word*> seen;
  for (auto& lease : leases) seen.push_back(&lease);
  f.pages.set_leases(seen);
  std::atomic<bool> done{false};

  std::thread core([&] {
    while (!done) {
      if (f.pages.do_work() == 0) std::this_thread::yield();
    }
  });
  std::vector<std::thread> readers;
  std::atomic<std::uint64_t> read_total{0};
  std::atomic<std::uint64_t> end{~std::uint64_t{0}};  // the last sequence, once it is known
  for (std::size_t r = 0; r < reader_count; ++r) {
    readers.emplace_back([&, r] {
      Reader reader(f.ring, leases[r]);
      std::uint64_t last = 0, laps = 0;
      while (last < end) {
        const auto bytes = reader.available();
        if (bytes.empty()) {
          std::this_thread::yield();
          continue;
        }
        if (r > 0) std::this_thread::yield();  // a slow reader, holding its page
        FrameCursor cursor(bytes);
        while (const auto frame = cursor.next()) {
          const std::uint64_t sequence = frame->sequence().value();
          ASSERT_GT(sequence, last);
          ASSERT_TRUE(last == 0 || sequence == last + 1 || reader.laps() > laps) << "a gap without a lap";
          laps = reader.laps();
          last = sequence;
          for (std::size_t i = 0; i < frame->payload().size(); i += 8) {
            std::uint64_t value;
            std::memcpy(&value, frame->payload().data() + i, 8);
            ASSERT_EQ(value, sequence);
          }
          ++read_total;
        }
        ASSERT_FALSE(cursor.malformed());
        reader.consume(bytes.size());
      }
    });
  }
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  // Until readers, whom nobody gives time, have seen enough of it.
  std::uint64_t written = 0;
  while (written < events || read_total < events / 10) {
    if (put(writer, 1 + written % 30).status == ClaimStatus::ok) {
      ++written;
    } else {
      std::this_thread::yield();
    }
  }
  end = written;
  for (auto& reader : readers) reader.join();
  done = true;
  core.join();
}

}  // namespace
}  // namespace millrace::ring
