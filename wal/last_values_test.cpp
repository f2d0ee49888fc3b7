// Proves that a snapshot is what a full scan gives, at any offset of any log: with keys files there, missing, spoilt,
// stale, half written or of another log; while the log is written, rolled back and deleted; and that little is read.
#include "wal/last_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/testing/keyed_events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

// A log of three publishers and some thirty keys with a random history, and what it holds.
class Model {
 public:
  explicit Model(std::uint64_t seed, std::uint64_t segment_size = 16384) : random_(seed), segment_size_(segment_size) {
    reopen();
  }

  void step() {
    switch (random_() % 40) {
      case 0:
        return reopen();
      case 1:
        return gap();
      default:
        return events();
    }
  }
  void reopen() {
    writer_.reset();
    auto writer = Writer::open(files_, "t", small_segments(segment_size_), WallTime{time_});
    ASSERT_TRUE(writer) << writer.error().message;
    writer_.emplace(std::move(*writer));
    ASSERT_LE(writer_->next_offset().value(), all_.size());
    all_.resize(writer_->next_offset().value());  // a crash takes back what was not synced
    for (std::size_t who = 0; who < 3; ++who) {
      ++epochs_[who];
      last_[who] = 0;
      for (const PublisherEntry& entry : writer_->publishers()) {
        if (entry.id != PublisherId(who + 1)) continue;
        last_[who] = entry.last_sequence.value();
        epochs_[who] = entry.epoch.value() + 1;
      }
      const PublisherEntry granted{
          PublisherId(who + 1), "p" + std::to_string(who), Epoch(epochs_[who]), {}, Sequence(last_[who])};
      ASSERT_TRUE(writer_->append_publisher(granted, WallTime{time_}));
    }
    ASSERT_TRUE(writer_->sync());
  }
  void events() {
    const std::size_t who = random_() % 3;
    const auto count = static_cast<std::uint32_t>(1 + random_() % 12);
    time_ += static_cast<std::int64_t>(random_() % 3);
    std::vector<std::string> keys;
    std::vector<std::byte> bytes;
    for (std::uint32_t i = 0; i < count; ++i) {
      // Some keys are rare, so that their last event lies far back; some events have none.
      const std::uint64_t rare = random_() % 400;
      std::string key = rare < 20 ? "rare" + std::to_string(rare) : "k" + std::to_string(random_() % 10);
      if (rare == 399) key.clear();
      append_keyed(bytes, last_[who] + 1 + i, key);
      keys.push_back(std::move(key));
    }
    const auto done = writer_->append(PublisherId(who + 1), Epoch(epochs_[who]), Sequence(last_[who] + 1), count, bytes,
                                      WallTime{time_});
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(done->first_offset.value(), all_.size());
    for (std::uint32_t i = 0; i < count; ++i) {
      all_.push_back({keys[i], who + 1, epochs_[who], last_[who] + 1 + i, time_});
    }
    last_[who] += count;
  }
  void gap() {
    const std::size_t who = random_() % 3;
    const std::uint64_t count = 1 + random_() % 5;
    ASSERT_TRUE(writer_->append_gap(PublisherId(who + 1), Sequence(last_[who] + 1), Sequence(last_[who] + count), 0,
                                    WallTime{time_}));
    last_[who] += count;
  }

  struct Recorded {
    std::string key;
    std::uint64_t publisher;
    std::uint64_t epoch;
    std::uint64_t sequence;
    std::int64_t time;
    bool operator==(const Recorded&) const = default;
  };
  using State = std::map<std::uint64_t, Recorded>;  // by offset
  // By a full scan.
  [[nodiscard]] State state(std::uint64_t first, std::uint64_t end) const {
    std::map<std::string, std::uint64_t> newest;
    for (std::uint64_t offset = first; offset < std::min<std::uint64_t>(end, all_.size()); ++offset) {
      if (!all_[offset].key.empty()) newest[all_[offset].key] = offset;
    }
    State state;
    for (const auto& [key, offset] : newest) state[offset] = all_[offset];
    return state;
  }
  [[nodiscard]] State state(std::uint64_t end) const { return state(writer_->first_offset().value(), end); }

  static State shown(const std::vector<LastValue>& values) {
    State state;
    std::string scratch;
    for (const LastValue& value : values) {
      const FrameView frame = value.view();
      const bool added = state
                             .try_emplace(value.offset.value(),
                                          Recorded{std::string(keyed().of(frame, scratch)), value.publisher.value(),
                                                   value.epoch.value(), frame.sequence().value(), value.record_time.ns})
                             .second;
      EXPECT_TRUE(added) << "an offset twice";
    }
    EXPECT_TRUE(std::ranges::is_sorted(values, {}, &LastValue::offset));
    return state;
  }

  // Every sealed segment gets its keys file.
  void index_all() {
    for (const auto& [name, bound] : sealed()) ASSERT_TRUE(write_key_index(files_, "t", name, bound, keyed()));
  }
  [[nodiscard]] std::vector<std::pair<SegmentName, Bound>> sealed() {
    std::vector<std::pair<SegmentName, Bound>> found;
    const auto chain = list_chain(files_, "t").value();
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      found.push_back({chain[i].name, {chain[i].end, chain[i + 1].name.first_offset}});
    }
    return found;
  }
  std::vector<std::byte>* keys_file(SegmentName name) { return files_.bytes_of(join("t", to_keys_name(name))); }

  [[nodiscard]] std::uint64_t size() const { return all_.size(); }
  FaultFileSystem& files() { return files_; }
  Writer& writer() { return *writer_; }
  std::mt19937_64& random() { return random_; }

  void expect_right(std::uint64_t end, const std::string& what) {
    const auto found = last_values(files_, "t", Offset(end), keyed());
    ASSERT_TRUE(found) << what << ": " << found.error().message;
    ASSERT_TRUE(shown(*found) == state(end)) << what << " as of " << end;
  }
  void expect_right_anywhere(const std::string& what, int times = 8) {
    const std::uint64_t first = writer_->first_offset().value();
    for (int i = 0; i < times; ++i) expect_right(first + random_() % (all_.size() - first + 1), what);
    expect_right(first, what);
    expect_right(all_.size(), what);
    for (const auto& [name, bound] : sealed()) expect_right(bound.next_offset.value(), what);
  }

 private:
  std::mt19937_64 random_;
  std::uint64_t segment_size_;
  FaultFileSystem files_;
  std::optional<Writer> writer_;
  std::array<std::uint64_t, 3> epochs_{};
  std::array<std::uint64_t, 3> last_{};
  std::vector<Recorded> all_;  // by offset
  std::int64_t time_ = 1;
};

TEST(LastValues, AreWhatAFullScanGivesAtAnyOffsetOfAnyLog) {
  std::size_t segments = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Model model(seed);
    for (int i = 0; i < 600; ++i) model.step();
    segments += model.sealed().size();
    model.expect_right_anywhere("without keys files", 30);
    model.index_all();
    model.expect_right_anywhere("with them", 30);
  }
  EXPECT_GT(segments, 100u) << "the logs are too small to prove much";
}

TEST(LastValues, OneKeyAloneIsWhatASnapshotHasOfIt) {
  Model model(5);
  for (int i = 0; i < 600; ++i) model.step();
  model.index_all();
  int found = 0;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t end = model.random()() % (model.size() + 1);
    const std::string key = i % 2 == 0 ? "rare" + std::to_string(i % 20) : "k" + std::to_string(i % 10);
    auto expected = model.state(end);
    std::erase_if(expected, [&](const auto& one) { return one.second.key != key; });
    const auto values = last_values(model.files(), "t", Offset(end), keyed(), key);
    ASSERT_TRUE(values);
    ASSERT_TRUE(Model::shown(*values) == expected) << key << " as of " << end;
    found += static_cast<int>(values->size());
  }
  EXPECT_GT(found, 100);
}

TEST(LastValues, AKeysFileThatIsSpoiltStaleOrOfAnotherSegmentMisleadsNobody) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Model model(seed);
    for (int i = 0; i < 600; ++i) model.step();
    for (int round = 0; round < 12; ++round) {
      model.index_all();
      const auto sealed = model.sealed();
      for (const auto& [name, bound] : sealed) {
        auto& bytes = *model.keys_file(name);
        auto& random = model.random();
        switch (random() % 6) {
          case 0:
            bytes[random() % bytes.size()] ^= std::byte{1} << (random() % 8);
            break;
          case 1:
            bytes.resize(random() % bytes.size());
            break;
          case 2:
            bytes.resize(bytes.size() + 1 + random() % 100);
            break;
          case 3:
            bytes = *model.keys_file(sealed[random() % sealed.size()].first);
            break;
          case 4:
            ASSERT_TRUE(write_key_index(model.files(), "t", name, bound, keyed_otherwise()));
            break;
          default:
            break;
        }
      }
      model.expect_right_anywhere("spoilt", 2);
    }
  }
}

// As one that was made before a power cut took back the end of the segment.
TEST(LastValues, AKeysFileFromBeforeARollBackIsVoid) {
  int rolled_back = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Model model(seed, 65536);
    for (int i = 0; i < 20; ++i) model.step();
    ASSERT_TRUE(model.writer().sync());
    const std::uint64_t synced = model.size();
    for (int i = 0; i < 20; ++i) model.events();
    const std::uint64_t before = model.size();
    // All segments, the open one too, as if it had been sealed where it now ends.
    const auto state = recover(model.files(), "t");
    ASSERT_TRUE(state);
    const Bound bound{state->end.at, state->end.next_offset};
    ASSERT_TRUE(write_key_index(model.files(), "t", state->last, bound, keyed()));
    ASSERT_TRUE((*model.files().open(join("t", to_keys_name(state->last)), OpenMode::read))->sync());
    ASSERT_TRUE(model.files().sync_folder("t"));
    model.files().crash(seed);
    model.reopen();
    ASSERT_GE(model.size(), synced);
    if (model.size() < before) ++rolled_back;
    ASSERT_NE(model.keys_file(state->last), nullptr) << "it is there, and must not count";
    for (int i = 0; i < 20; ++i) model.step();
    model.expect_right_anywhere("rolled back");
  }
  EXPECT_GT(rolled_back, 10);
}

// As one that was made for a roll to the next segment that then failed.
TEST(LastValues, AKeysFileFromBeforeTheSegmentWentOnIsVoid) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Model model(seed, 65536);
    for (int i = 0; i < 300; ++i) {
      model.step();
      if (i % 20 != 0) continue;
      const auto state = recover(model.files(), "t");
      ASSERT_TRUE(state);
      const Bound bound{state->end.at, state->end.next_offset};
      ASSERT_TRUE(write_key_index(model.files(), "t", state->last, bound, keyed()));
    }
    ASSERT_GT(model.sealed().size(), 1u);
    model.expect_right_anywhere("went on");
  }
}

TEST(LastValues, AKeysFileWhoseWritingWasCutShortMisleadsNobody) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Model model(seed);
    for (int i = 0; i < 200; ++i) model.step();
    ASSERT_TRUE(model.writer().sync());
    const auto sealed = model.sealed();
    ASSERT_FALSE(sealed.empty());
    if (seed % 2 == 0) {
      model.index_all();
    } else {
      const auto& [name, bound] = sealed[seed % sealed.size()];
      model.files().fail_at(seed % 5 + 3, ErrorCode::io_failed);
      (void)write_key_index(model.files(), "t", name, bound, keyed());
      model.files().heal();
      model.expect_right_anywhere("a failed write", 2);
    }
    model.files().crash(seed);
    model.expect_right_anywhere("after a crash", 4);
    model.reopen();
    model.expect_right_anywhere("after recovery", 4);
  }
}

// Something happens just before a file is opened.
class HookedFileSystem final : public FileSystem {
 public:
  HookedFileSystem(FileSystem& files, std::function<void()> hook) : files_(files), hook_(std::move(hook)) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    hook_();
    return files_.open(path, mode);
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override { return files_.create(path); }
  Status rename(const std::string& from, const std::string& to) override { return files_.rename(from, to); }
  Status unlink(const std::string& path) override { return files_.unlink(path); }
  Status make_folder(const std::string& path) override { return files_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return files_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_.list(folder); }

 private:
  FileSystem& files_;
  std::function<void()> hook_;
};

TEST(LastValues, WhatRetentionDeletesMeanwhileOnlyShortensTheLog) {
  int deleted = 0, refused = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Model model(seed % 8);
    for (int i = 0; i < 300; ++i) model.step();
    ASSERT_TRUE(model.writer().sync());
    if (seed % 3 != 0) model.index_all();
    const std::uint64_t first = model.writer().first_offset().value();
    const std::uint64_t end = first + (model.size() - first) * (1 + seed % 10) / 10;
    std::uint64_t calls = 0;
    const std::uint64_t at = seed * 7 % 60;
    const auto retain = [&] {
      if (calls++ != at) return;
      EXPECT_TRUE(model.writer().retain((1 + seed % 4) * 16384));
    };
    HookedFileSystem hooked(model.files(), retain);
    const auto found = last_values(hooked, "t", Offset(end), keyed());
    const std::uint64_t first_now = model.writer().first_offset().value();
    if (first_now > first) ++deleted;
    if (!found) {
      ASSERT_EQ(found.error().code, ErrorCode::deleted) << found.error().message;
      ASSERT_LT(end, first_now);
      ++refused;
      continue;
    }
    const auto shown = Model::shown(*found);
    bool right = false;
    for (std::uint64_t from = first; from <= first_now && !right; ++from) right = shown == model.state(from, end);
    ASSERT_TRUE(right) << seed;
  }
  EXPECT_GT(deleted, 50);
  EXPECT_GT(refused, 0);
}

TEST(LastValues, BeforeTheFirstOffsetThereIsAnErrorThatNamesIt) {
  Model model(1);
  for (int i = 0; i < 500; ++i) model.step();
  model.index_all();
  ASSERT_TRUE(model.writer().retain(2 * 16384));
  const Offset first = model.writer().first_offset();
  ASSERT_GT(first, Offset(0));
  for (const auto& [name, bound] : model.sealed()) ASSERT_GE(name.first_offset, first);
  const auto names = model.files().list("t").value();
  EXPECT_EQ(std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".keys"); }),
            static_cast<std::ptrdiff_t>(model.sealed().size()))
      << "a segment's keys go with it";
  model.expect_right_anywhere("after retention");
  const auto before = last_values(model.files(), "t", Offset(first.value() - 1), keyed());
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, ErrorCode::deleted);
  EXPECT_NE(before.error().message.find("up to offset " + std::to_string(first.value())), std::string::npos);
  const auto none = last_values(model.files(), "nothing", Offset(0), keyed());
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
}

// What is lost may have held newer values: a snapshot over it would be a guess.
TEST(LastValues, DamageIsSaidAndNeverGuessedOver) {
  Model model(3);
  for (int i = 0; i < 500; ++i) model.step();
  ASSERT_TRUE(model.writer().sync());
  const auto sealed = model.sealed();
  ASSERT_GT(sealed.size(), 4u);
  const auto& [name, bound] = sealed[2];
  auto& bytes = *model.files().bytes_of(join("t", to_file_name(name)));
  const auto kept = bytes;
  bytes[*bound.end - 20] ^= std::byte{1};
  const auto over = last_values(model.files(), "t", Offset(model.size()), keyed());
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::corrupt);
  EXPECT_EQ(write_key_index(model.files(), "t", name, bound, keyed()).error().code, ErrorCode::corrupt);
  EXPECT_EQ(model.keys_file(name), nullptr);
  EXPECT_TRUE(last_values(model.files(), "t", name.first_offset, keyed())) << "all before it is there";
  EXPECT_TRUE(last_values(model.files(), "t", Offset(model.size()), keyed(), "k1")) << "newer than what is lost";
  bytes = kept;
  model.expect_right_anywhere("whole again", 2);
  ASSERT_TRUE(model.files().unlink(join("t", to_file_name(name))));
  const auto missing = last_values(model.files(), "t", Offset(model.size()), keyed());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::corrupt);
  EXPECT_NE(missing.error().message.find("is missing"), std::string::npos) << missing.error().message;
}

TEST(LastValues, OlderSegmentsAreNotReadWhereTheirKeysFilesAre) {
  Model model(2, 262144);
  for (int i = 0; i < 8000; ++i) model.events();
  ASSERT_GT(model.sealed().size(), 8u);
  const auto read = [&] {
    const std::uint64_t before = model.files().bytes_read();
    EXPECT_TRUE(last_values(model.files(), "t", Offset(model.size()), keyed()));
    return model.files().bytes_read() - before;
  };
  const std::uint64_t without = read();
  model.index_all();
  const std::uint64_t with = read();
  // The segment that holds the end, headers, keys files, and a batch each for what only older ones have.
  EXPECT_LT(with, without / 3) << with << " of " << without;
}

}  // namespace
}  // namespace millrace::wal
