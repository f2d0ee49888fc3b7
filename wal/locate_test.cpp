// Proves that a sequence is found where a model of the log has it, under any history of publishers, gaps, restarts and
// retention; that little is read for it; and that damage is said, never guessed over.
#include "wal/locate.hpp"

#include <gtest/gtest.h>

#include <random>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;
using Kind = Located::Kind;

// A log of three publishers with a random history, and what it holds.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed) { open(); }

  void step() {
    const std::size_t who = random_() % 3;
    switch (random_() % 24) {
      case 0:
        return grant(who);
      case 1:
        return restart();
      case 2:
        return gap(who);
      case 3:
        EXPECT_TRUE(writer_->retain(8 * 32768));
        return;
      default:
        return events(who);
    }
  }
  // What locate() must answer.
  [[nodiscard]] Located expected(std::size_t who, Epoch epoch, std::uint64_t sequence) const {
    const History& h = histories_[who];
    if (sequence > h.recorded.size()) return {epoch < h.epoch ? Kind::superseded : Kind::not_there_yet, {}, h.epoch};
    const Located& there = h.recorded[sequence - 1];
    if (there.offset < writer_->first_offset()) return {Kind::deleted, {}, {}};
    if (there.kind == Kind::gap || there.epoch == epoch) return there;
    return {Kind::superseded, {}, there.epoch};
  }
  [[nodiscard]] std::optional<std::uint64_t> last_sequence(std::size_t who) const {
    const History& h = histories_[who];
    for (std::uint64_t sequence = h.recorded.size(); sequence > 0; --sequence) {
      const Located& there = h.recorded[sequence - 1];
      if (there.kind == Kind::recorded) {
        return there.offset < writer_->first_offset() ? std::nullopt : std::optional(sequence);
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] Epoch epoch(std::size_t who) const { return histories_[who].epoch; }
  [[nodiscard]] std::uint64_t recorded(std::size_t who) const { return histories_[who].recorded.size(); }
  [[nodiscard]] Offset first_offset() const { return writer_->first_offset(); }
  FaultFileSystem& files() { return files_; }

 private:
  struct History {
    Epoch epoch;
    std::vector<Located> recorded;  // by sequence - 1
  };

  void open() {
    writer_.reset();
    writer_.emplace(Writer::open(files_, "t", small_segments(), WallTime{1}).value());
  }
  void restart() {
    for (std::uint64_t starts = 1 + random_() % 2; starts > 0; --starts) open();
  }
  static PublisherId id(std::size_t who) { return PublisherId(who + 1); }
  void grant(std::size_t who) {
    History& h = histories_[who];
    ++h.epoch;
    ASSERT_TRUE(writer_->append_publisher(
        {id(who), "p" + std::to_string(who), h.epoch, {}, Sequence(h.recorded.size())}, WallTime{1}));
  }
  void events(std::size_t who) {
    History& h = histories_[who];
    if (h.epoch == Epoch(0)) return;
    const auto count = static_cast<std::uint32_t>(1 + random_() % 20);
    const std::uint64_t first = h.recorded.size() + 1;
    const auto done = writer_->append(id(who), h.epoch, Sequence(first), count, frames(first, count), WallTime{1});
    ASSERT_TRUE(done);
    for (std::uint32_t i = 0; i < count; ++i) h.recorded.push_back({Kind::recorded, done->first_offset + i, h.epoch});
  }
  void gap(std::size_t who) {
    History& h = histories_[who];
    if (h.epoch == Epoch(0)) return;
    const std::uint64_t first = h.recorded.size() + 1, count = 1 + random_() % 5;
    ASSERT_TRUE(writer_->append_gap(id(who), Sequence(first), Sequence(first + count - 1), 0, WallTime{1}));
    for (std::uint64_t i = 0; i < count; ++i) h.recorded.push_back({Kind::gap, writer_->next_offset(), h.epoch});
  }

  std::mt19937_64 random_;
  FaultFileSystem files_;
  std::optional<Writer> writer_;
  std::array<History, 3> histories_;
};

TEST(Locate, FindsEverySequenceWhereTheModelHasIt) {
  std::array<int, 5> kinds{};
  int events = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    Model model(seed);
    for (int i = 0; i < 400; ++i) model.step();
    for (std::size_t who = 0; who < 3; ++who) {
      const PublisherId id(who + 1);
      for (std::uint64_t sequence = 1; sequence <= model.recorded(who) + 2; ++sequence) {
        for (std::uint64_t epoch = 1; epoch <= model.epoch(who).value() + 1; epoch += 1 + sequence % 3) {
          const auto found = locate(model.files(), "t", id, Epoch(epoch), Sequence(sequence));
          ASSERT_TRUE(found) << seed << " " << found.error().message;
          const Located expected = model.expected(who, Epoch(epoch), sequence);
          // A gap at the begin of the log may be told though its offset is that of a deleted event, and the reverse.
          if (expected.offset == model.first_offset() && found->kind == Kind::deleted) continue;
          ASSERT_EQ(found->kind, expected.kind) << seed << " " << who << " " << epoch << " " << sequence;
          ASSERT_TRUE(*found == expected) << seed << " " << who << " " << epoch << " " << sequence << " offset "
                                          << found->offset.value() << " epoch " << found->epoch.value();
          ++kinds[static_cast<std::size_t>(found->kind)];
        }
      }
      const auto last = last_event(model.files(), "t", id);
      ASSERT_TRUE(last) << last.error().message;
      const auto expected = model.last_sequence(who);
      ASSERT_EQ(last->has_value(), expected.has_value()) << seed << " " << who;
      if (!expected) continue;
      ++events;
      const Located at = model.expected(who, Epoch((*last)->epoch), *expected);
      EXPECT_EQ((*last)->sequence, Sequence(*expected));
      EXPECT_EQ((*last)->offset, at.offset);
      EXPECT_EQ(at.kind, Kind::recorded);
      ASSERT_EQ((*last)->frame.size(), frame_header_size + 64);
      EXPECT_EQ(FrameView((*last)->frame.data()).sequence(), Sequence(*expected));
    }
  }
  for (const int seen : kinds) EXPECT_GT(seen, 50);
  EXPECT_GT(events, 20);
}

TEST(Locate, LooksBehindGapsAndOtherPublishersForTheLastEvent) {
  FaultFileSystem files;
  auto writer = begin(files);
  EXPECT_FALSE(last_event(files, "t", publisher).value());
  ASSERT_TRUE(add(*writer, 2, WallTime{7}));
  const PublisherEntry other{PublisherId(2), "other", Epoch(1), {}, Sequence(0)};
  ASSERT_TRUE(writer->append_publisher(other, WallTime{8}));
  std::uint64_t next = 1;
  while (segment_paths(files).size() < 6) {
    ASSERT_TRUE(writer->append(other.id, Epoch(1), Sequence(next), 20, frames(next, 20), WallTime{9}));
    next += 20;
    const Sequence gap = writer->publishers()[0].last_sequence.next();
    ASSERT_TRUE(writer->append_gap(publisher, gap, gap, 0, WallTime{9}));
  }
  const auto last = last_event(files, "t", publisher).value();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->sequence, Sequence(2));
  EXPECT_EQ(last->offset, Offset(1));
  EXPECT_EQ(last->epoch, Epoch(1));
  EXPECT_EQ(last->record_time, WallTime{7});
  ASSERT_TRUE(writer->retain(32768));
  EXPECT_FALSE(last_event(files, "t", publisher).value()) << "it was deleted";
  EXPECT_FALSE(last_event(files, "t", PublisherId(77)).value());
}

TEST(Locate, SaysWhatCannotBeAsked) {
  FaultFileSystem files;
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(1)).error().code, ErrorCode::not_found);
  EXPECT_EQ(last_event(files, "t", publisher).error().code, ErrorCode::not_found);
  auto writer = begin(files);
  EXPECT_EQ(locate(files, "t", PublisherId(9), Epoch(1), Sequence(1)).error().code, ErrorCode::not_found);
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(0)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(1))->kind, Kind::not_there_yet);
}

TEST(Locate, ReadsAFewHeadersAndOneSegmentWithoutItsBodies) {
  FaultFileSystem files;
  constexpr std::uint64_t size = 1 << 20;
  auto writer = begin(files, small_segments(size));
  constexpr std::uint32_t count = 600;  // 64 KiB a batch
  std::uint64_t first = 1;
  const auto fill_to = [&](std::size_t segments) {
    for (; segment_paths(files).size() < segments; first += count) {
      ASSERT_TRUE(writer->append(publisher, Epoch(1), Sequence(first), count, frames(first, count), WallTime{1}));
    }
  };
  const auto cost = [&](std::uint64_t sequence) {
    const std::uint64_t before = files.bytes_read();
    EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(sequence))->offset, Offset(sequence - 1));
    return files.bytes_read() - before;
  };
  fill_to(8);
  const std::uint64_t few = std::max({cost(1), cost(first / 2), cost(first - 1)});
  fill_to(128);
  const std::uint64_t many = std::max({cost(1), cost(first / 2), cost(first - 1)});
  // Of a segment, 16 batches: 16 KiB of each but the one found.
  EXPECT_LT(few, size / 2);
  EXPECT_LT(many, few + 6 * 10'000) << "16 times as many segments, 4 more headers to look at";
  const std::uint64_t before = files.bytes_read();
  ASSERT_EQ(last_event(files, "t", publisher).value()->sequence, Sequence(first - 1));
  EXPECT_LT(files.bytes_read() - before, size + few + 6 * 10'000) << "and what lies behind the tail";
}

TEST(Locate, NeverTellsAnythingElseWhereverABitIsFlipped) {
  FaultFileSystem files;
  std::vector<Located> truth;
  {
    auto writer = begin(files, small_segments(16384));
    std::uint64_t first = 1;
    for (; segment_paths(files).size() < 3; first += 20) {
      ASSERT_TRUE(writer->append(publisher, Epoch(1), Sequence(first), 20, frames(first, 20), WallTime{1}));
    }
    ASSERT_TRUE(writer->sync());
    for (std::uint64_t s = 1; s < first; ++s) truth.push_back({Kind::recorded, Offset(s - 1), Epoch(1)});
    ASSERT_TRUE(add(*writer, 1));  // says how far it was synced
    truth.push_back({Kind::recorded, Offset(truth.size()), Epoch(1)});
  }
  int refused = 0, answered = 0;
  for (const std::string& path : segment_paths(files)) {
    auto& bytes = *files.bytes_of(path);
    for (std::size_t at = 0; at < bytes.size(); at += at < 120 || (at > 4090 && at < 4600) ? 1 : 97) {
      bytes[at] ^= std::byte{0x04};
      for (std::uint64_t sequence = 1; sequence < truth.size(); sequence += 19) {
        const auto found = locate(files, "t", publisher, Epoch(1), Sequence(sequence));
        if (found) {
          ++answered;
          ASSERT_TRUE(*found == truth[sequence - 1]) << path << " byte " << at << " sequence " << sequence;
        } else {
          ++refused;
          ASSERT_TRUE(found.error().code == ErrorCode::corrupt) << found.error().message;
        }
      }
      bytes[at] ^= std::byte{0x04};
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(answered, refused);
  const auto paths = segment_paths(files);
  ASSERT_TRUE(files.unlink(paths[1]));
  EXPECT_EQ(*locate(files, "t", publisher, Epoch(1), Sequence(1)), truth[0]);
  EXPECT_EQ(*locate(files, "t", publisher, Epoch(1), Sequence(truth.size())), truth.back());
  const Sequence lost(list_segment_files(files, "t").value()[1].first_offset.value() - 2);
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), lost).error().code, ErrorCode::corrupt);
}

TEST(Locate, TakesATornTailForTheEnd) {
  FaultFileSystem files;
  {
    auto writer = begin(files);
    ASSERT_TRUE(add(*writer, 3));
    ASSERT_TRUE(add(*writer, 3));
  }
  auto& bytes = *files.bytes_of(segment_paths(files).at(0));
  const std::size_t last_payload = 4096 + 3 * sizeof(BatchHeader) + sizeof(PublisherRecord) + 6 * frame_size(64) - 8;
  bytes[last_payload] ^= std::byte{1};  // its header is whole
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(4))->kind, Kind::not_there_yet);
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(3))->kind, Kind::recorded);
  EXPECT_EQ(last_event(files, "t", publisher).value()->sequence, Sequence(3));
}

TEST(Locate, NeverSeesWhatLiesBehindTheEndOfAFailedSegment) {
  FaultFileSystem files;
  auto writer = begin(files);
  ASSERT_TRUE(add_synced(*writer, 5));
  ASSERT_TRUE(add(*writer, 5));
  files.fail_at(0, ErrorCode::io_failed);
  ASSERT_FALSE(writer->sync());
  files.heal();
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(6))->kind, Kind::not_there_yet);
  EXPECT_EQ(last_event(files, "t", publisher).value()->sequence, Sequence(5));
  ASSERT_TRUE(writer->append_gap(publisher, Sequence(6), Sequence(10), 0, WallTime{1}));
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(6))->kind, Kind::gap);
  EXPECT_EQ(locate(files, "t", publisher, Epoch(1), Sequence(5))->offset, Offset(4));
  EXPECT_EQ(last_event(files, "t", publisher).value()->sequence, Sequence(5));
}

}  // namespace
}  // namespace millrace::wal
