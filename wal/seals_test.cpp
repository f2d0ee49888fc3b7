// Proves that seals notice what the log's own checksums cannot: a change by somebody who makes those anew.
#include "wal/seals.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"
#include "wal/testing/keyed_events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr WallTime never{std::numeric_limits<std::int64_t>::min()};
constexpr WallTime always{std::numeric_limits<std::int64_t>::max()};

void care(Writer& writer, WallTime cold = never) {
  while (auto ticket = writer.take_care(cold)) {
    const Status done = ticket->run();
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(writer.complete_care(*ticket, done));
  }
}
// So many segments, all sealed but for the open one.
void write_log(FaultFileSystem& files, std::size_t segments) {
  auto writer = begin(files);
  while (segment_paths(files).size() < segments) ASSERT_TRUE(add_synced(*writer, 20));
  care(*writer);
}
SealReport verified(FaultFileSystem& files) {
  auto report = verify_seals(files, "t");
  EXPECT_TRUE(report) << report.error().message;
  return report ? std::move(*report) : SealReport{};
}
std::vector<std::string> seal_paths(FaultFileSystem& files) {
  std::vector<std::string> paths;
  const std::vector<std::string> names = files.list("t").value();
  for (const std::string& name : names) {
    if (name.ends_with(".seal")) paths.push_back(join("t", name));
  }
  return paths;
}

template <class T>
T load(const std::vector<std::byte>& bytes, std::uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <class T>
void store(std::vector<std::byte>& bytes, std::uint64_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Changes a byte of the last event in the segment at `victim`, and then makes every checksum anew, of that batch and of
// all that is chained to it, as somebody would who wants it not to show.
void forge(FaultFileSystem& files, std::size_t victim) {
  const auto paths = segment_paths(files);
  std::uint64_t previous = 0;
  for (std::size_t i = victim; i < paths.size(); ++i) {
    auto& bytes = *files.bytes_of(paths[i]);
    auto header = load<SegmentHeader>(bytes, 0);
    if (i > victim) {
      header.previous_checksum = previous;
      store(bytes, 0, header);
      header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from, header.header_bytes - checksummed_from));
      store(bytes, 0, header);
      previous = header.checksum;
    }
    std::uint64_t end = bytes.size();
    if (i + 1 < paths.size()) end = load<SegmentHeader>(*files.bytes_of(paths[i + 1]), 0).previous_end;
    bool changed = i > victim;
    for (std::uint64_t at = header.header_bytes; at + sizeof(BatchHeader) <= end;) {
      auto batch = load<BatchHeader>(bytes, at);
      if (batch.magic != batch_magic) break;
      const std::uint64_t next = at + sizeof batch + batch.bytes;
      if (i == victim && next == end) bytes[end - 1] ^= std::byte{1};
      if (changed) batch.previous = previous;
      changed = changed || next == end;
      batch.body_checksum = checksum_of(Bytes(bytes).subspan(at + sizeof batch, batch.bytes));
      store(bytes, at, batch);
      batch.checksum = checksum_of(Bytes(bytes).subspan(at + checksummed_from, sizeof batch - checksummed_from));
      store(bytes, at, batch);
      previous = batch.checksum;
      at = next;
    }
  }
}
// The same for seals, from the one of the segment at `from` on.
void forge_seals(FaultFileSystem& files, std::size_t from, std::size_t to) {
  const auto seals = seal_paths(files);
  const auto paths = segment_paths(files);
  for (std::size_t i = from; i < to; ++i) {
    auto seal = load<Seal>(*files.bytes_of(seals[i]), 0);
    Sha256 sha;
    sha.add(Bytes(*files.bytes_of(paths[i])).first(seal.end));
    seal.content = sha.digest();
    if (i > from) seal.previous_chain = load<Seal>(*files.bytes_of(seals[i - 1]), 0).chain;
    seal.chain = chain_of(seal);
    seal.checksum = checksum_of(std::as_bytes(std::span(&seal, 1)).subspan(checksummed_from));
    store(*files.bytes_of(seals[i]), 0, seal);
  }
}

TEST(Seals, ChainAllSegmentsButTheOpenOne) {
  FaultFileSystem files;
  write_log(files, 5);
  const SealReport report = verified(files);
  EXPECT_TRUE(report.wrong.empty()) << report.wrong.front();
  EXPECT_EQ(report.sealed, 4u);
  EXPECT_EQ(report.not_yet, 0u);
  ASSERT_EQ(report.chain.size(), 4u);
  // By hand, as FORMAT.md says.
  Digest previous{};
  const auto seals = seal_paths(files);
  for (std::size_t i = 0; i < seals.size(); ++i) {
    const auto& bytes = *files.bytes_of(seals[i]);
    ASSERT_EQ(bytes.size(), 160u);
    EXPECT_EQ(std::memcmp(bytes.data() + 16, previous.data(), 32), 0);
    Sha256 sha;
    sha.add(Bytes(bytes).subspan(16, 112));
    previous = sha.digest();
    EXPECT_EQ(std::memcmp(bytes.data() + 128, previous.data(), 32), 0);
    EXPECT_EQ(report.chain[i], previous);
  }
  EXPECT_EQ(from_hex(hex_of(previous)), previous);
  EXPECT_FALSE(from_hex("12"));
  EXPECT_FALSE(from_hex(std::string(64, 'g')));
  Sha256 abc;
  abc.add(std::as_bytes(std::span("abc", 3)));
  EXPECT_EQ(hex_of(abc.digest()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Seals, NoticeAForgerWhoMakesEveryChecksumOfTheLogAnew) {
  FaultFileSystem files;
  write_log(files, 5);
  const std::uint64_t events = read_log(files).offsets.size();
  const Digest head = verified(files).chain.back();
  forge(files, 1);
  const Seen seen = read_log(files);
  ASSERT_TRUE(seen.is(0, events)) << "the log itself sees nothing: " << seen.problem;
  ASSERT_TRUE(seen.corruptions.empty());
  SealReport report = verified(files);
  ASSERT_FALSE(report.wrong.empty());
  EXPECT_NE(report.wrong[0].find("0000000002.wal"), std::string::npos) << report.wrong[0];
  EXPECT_NE(report.wrong[0].find("was changed after it was sealed"), std::string::npos);
  EXPECT_NE(report.wrong[0].find("offsets "), std::string::npos);
  // He makes the seals of what he changed anew, but for the last one.
  forge_seals(files, 1, 3);
  report = verified(files);
  ASSERT_EQ(report.wrong.size(), 2u);
  EXPECT_NE(report.wrong[0].find("0000000004.wal"), std::string::npos) << report.wrong[0];
  EXPECT_NE(report.wrong[0].find("not chained to the seal before it"), std::string::npos) << report.wrong[0];
  // All of them: only who kept a chain value elsewhere knows.
  forge_seals(files, 1, 4);
  report = verified(files);
  EXPECT_TRUE(report.wrong.empty()) << report.wrong.front();
  EXPECT_EQ(std::count(report.chain.begin(), report.chain.end(), head), 0);
}

TEST(Seals, WhatAForgerOnlyClaimsIsNoValueOfTheChain) {
  // He makes everything anew, and says that his first seal follows the one whose value somebody kept.
  FaultFileSystem files;
  write_log(files, 5);
  const Digest head = verified(files).chain.back();
  forge(files, 0);
  auto& bytes = *files.bytes_of(seal_paths(files)[0]);
  auto first = load<Seal>(bytes, 0);
  first.previous_chain = head;
  first.previous_segment = 1;
  store(bytes, 0, first);
  forge_seals(files, 0, 4);
  const SealReport report = verified(files);
  EXPECT_TRUE(report.wrong.empty()) << report.wrong.front();
  EXPECT_EQ(report.chain.size(), 4u);
  EXPECT_EQ(std::count(report.chain.begin(), report.chain.end(), head), 0);
}

TEST(Seals, TheSealOfADeletedSegmentStandsForNoEarlierOffsets) {
  // He keeps the seal whose value is known, as if its segment were deleted, and puts behind it a log of his own.
  FaultFileSystem files;
  write_log(files, 5);
  const std::string kept = seal_paths(files)[3];
  const Digest head = verified(files).chain.back();
  FaultFileSystem forged;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Writer::open(forged, "t", small_segments(), WallTime{1}));
  auto writer = begin(forged);
  while (segment_paths(forged).size() < 3) ASSERT_TRUE(add_synced(*writer, 20));
  ASSERT_TRUE(segment_paths(forged)[0].ends_with("-0000000005.wal"));
  ASSERT_TRUE(forged.create(kept));
  *forged.bytes_of(kept) = *files.bytes_of(kept);
  care(*writer);
  const SealReport report = verified(forged);
  EXPECT_EQ(std::count(report.chain.begin(), report.chain.end(), head), 1);
  ASSERT_EQ(report.wrong.size(), 1u);
  EXPECT_NE(report.wrong[0].find("0000000004.wal"), std::string::npos) << report.wrong[0];
  EXPECT_NE(report.wrong[0].find("begins behind what follows it"), std::string::npos) << report.wrong[0];
}

TEST(Seals, AFlippedBitInASealIsNamed) {
  FaultFileSystem files;
  write_log(files, 4);
  auto& bytes = *files.bytes_of(seal_paths(files)[1]);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] ^= std::byte{4};
    const SealReport report = verified(files);
    ASSERT_EQ(report.wrong.size(), 1u) << at;
    EXPECT_NE(report.wrong[0].find("has a seal that is damaged"), std::string::npos);
    bytes[at] ^= std::byte{4};
  }
  EXPECT_TRUE(verified(files).wrong.empty());
}

TEST(Seals, OneThatWasDeletedIsNamedAndTheLastOnesAreNotYetThere) {
  FaultFileSystem files;
  write_log(files, 5);
  const auto seals = seal_paths(files);
  const auto seal = *files.bytes_of(seals[1]);
  ASSERT_TRUE(files.unlink(seals[3]));
  SealReport report = verified(files);
  EXPECT_TRUE(report.wrong.empty());
  EXPECT_EQ(report.not_yet, 1u);
  ASSERT_TRUE(files.unlink(seals[1]));
  report = verified(files);
  ASSERT_EQ(report.wrong.size(), 1u);
  EXPECT_NE(report.wrong[0].find("has no seal, though a later one has"), std::string::npos);
}

TEST(Seals, ThatAreMissingOrDamagedAreMadeLaterAsTheyWere) {
  FaultFileSystem files;
  write_log(files, 5);
  const SealReport before = verified(files);
  const auto seals = seal_paths(files);
  ASSERT_TRUE(files.unlink(seals[1]));
  (*files.bytes_of(seals[2]))[40] ^= std::byte{1};
  {
    auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer);
    care(*writer);
  }
  SealReport after = verified(files);
  EXPECT_TRUE(after.wrong.empty()) << after.wrong.front();
  ASSERT_EQ(after.chain.size(), before.chain.size() + 1) << "the segment that was open is sealed, too";
  EXPECT_TRUE(std::equal(before.chain.begin(), before.chain.end(), after.chain.begin()));
  // A log of a release that made none, part of it compressed.
  for (const std::string& path : seal_paths(files)) ASSERT_TRUE(files.unlink(path));
  auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(writer);
  care(*writer, always);
  const SealReport again = verified(files);
  EXPECT_TRUE(again.wrong.empty()) << again.wrong.front();
  EXPECT_EQ(again.chain, after.chain);
  EXPECT_EQ(again.sealed, after.sealed);
}

TEST(Seals, SurviveCompressionAndGoWithTheirSegments) {
  FaultFileSystem files;
  auto writer = begin(files);
  while (segment_paths(files).size() < 6) ASSERT_TRUE(add_synced(*writer, 20));
  care(*writer);
  const auto chain = verified(files).chain;
  care(*writer, always);
  EXPECT_EQ(verified(files).chain, chain);
  EXPECT_TRUE(verified(files).wrong.empty());
  // A change to a compressed segment: what cannot be decompressed is not what was sealed.
  const std::vector<std::string> names = files.list("t").value();
  const auto cold = std::find_if(names.begin(), names.end(), [](const auto& name) { return name.ends_with(".zst"); });
  auto& bytes = *files.bytes_of(join("t", *cold));
  bytes[bytes.size() / 2] ^= std::byte{1};
  EXPECT_EQ(verified(files).wrong.size(), 1u);
  bytes[bytes.size() / 2] ^= std::byte{1};

  ASSERT_EQ(writer->retain(3 * 32768).value(), 0u) << "they are small now";
  std::size_t left = 6;
  while (left > 3) {
    auto ticket = writer->take_deletion(1, never);
    ASSERT_TRUE(ticket && ticket->run());
    ASSERT_TRUE(writer->complete_deletion(*ticket, {}));
    --left;
    EXPECT_EQ(seal_paths(files).size(), left) << "the open segment has none, and the last deleted one's is kept";
    const SealReport report = verified(files);
    EXPECT_TRUE(report.wrong.empty()) << report.wrong.front();
    EXPECT_EQ(report.sealed, left - 1);
    EXPECT_EQ(report.chain.back(), chain.back());
  }
  // The chain goes on from there, even where nothing sealed is left.
  ASSERT_EQ(writer->retain(1).value(), 2u);
  while (segment_paths(files).size() < 3) ASSERT_TRUE(add_synced(*writer, 20));
  care(*writer);
  const SealReport report = verified(files);
  EXPECT_TRUE(report.wrong.empty());
  EXPECT_EQ(report.sealed, 2u);
  EXPECT_EQ(std::count(report.chain.begin(), report.chain.end(), chain.back()), 1);
}

TEST(Seals, BehindADamagedOneNoSegmentIsReadForNothing) {
  FaultFileSystem files;
  write_log(files, 4);
  const auto seals = seal_paths(files);
  const auto chain = list_chain(files, "t").value();
  ASSERT_TRUE(files.unlink(seals[2]));
  (*files.bytes_of(seals[1]))[40] ^= std::byte{1};
  const auto work =
      begin_seal({&files, "t", chain[2].name, chain[2].log_id, *chain[2].end, chain[3].name.first_offset, {}});
  const std::uint64_t before = files.bytes_read();
  const auto step = work->step();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().code, ErrorCode::corrupt);
  EXPECT_LE(files.bytes_read() - before, sizeof(Seal));
}

TEST(Seals, AreMadeOldestFirstAndWaitForAQuietMoment) {
  FaultFileSystem files;
  auto writer = begin(files);
  while (segment_paths(files).size() < 8) ASSERT_TRUE(add(*writer, 20));
  EXPECT_FALSE(writer->take_care(never, false)) << "seven may wait";
  while (segment_paths(files).size() < 10) ASSERT_TRUE(add(*writer, 20));
  auto ticket = writer->take_care(never, false);
  ASSERT_TRUE(ticket);
  // One that fails is tried again before any later one is sealed, which is chained to it.
  files.fail_at(0, ErrorCode::io_failed);
  const Status failed = ticket->run();
  files.heal();
  EXPECT_FALSE(failed);
  EXPECT_FALSE(writer->complete_care(*ticket, failed));
  for (std::size_t made = 1; made <= 9; ++made) {
    ticket = writer->take_care(never);
    ASSERT_TRUE(ticket && ticket->run());
    ASSERT_TRUE(writer->complete_care(*ticket, {}));
    ASSERT_EQ(seal_paths(files).size(), made);
  }
  EXPECT_FALSE(writer->take_care(never));
  EXPECT_TRUE(verified(files).wrong.empty());
}

TEST(Seals, AreAllThatIsMadeWhileThereIsNoQuietMoment) {
  FaultFileSystem files;
  WriterOptions options = small_segments(care_step_bytes + (256 << 10));  // each kind of care takes more than a step
  options.keys = std::make_shared<const KeyDefinition>(keyed());
  auto writer = begin(files, options);
  const auto grow = [&](std::size_t segments) {
    while (segment_paths(files).size() < segments) ASSERT_TRUE(add(*writer, 1000));
  };
  const auto step = [&](bool idle) {
    auto ticket = writer->take_care(always, idle);
    return ticket && ticket->run() && writer->complete_care(*ticket, {});
  };
  const auto count = [&](const std::string& ending) {
    const std::vector<std::string> names = files.list("t").value();
    return std::count_if(names.begin(), names.end(), [&](const auto& name) { return name.ends_with(ending); });
  };
  grow(3);
  while (count(".zst.new") == 0) ASSERT_TRUE(step(true));
  EXPECT_EQ(count(".seal"), 1);
  EXPECT_EQ(count(".keys"), 1);
  grow(11);
  ASSERT_TRUE(step(false));
  EXPECT_EQ(count(".seal"), 1) << "half of one is made";
  ASSERT_TRUE(step(false));
  EXPECT_EQ(count(".seal"), 2);
  while (step(false)) {
  }
  EXPECT_EQ(count(".seal"), 3) << "seven may wait";
  EXPECT_EQ(count(".keys"), 1);
  EXPECT_EQ(count(".zst.new"), 1) << "what was begun waits";
  EXPECT_EQ(count(".zst"), 0);
  for (int steps = 1; count(".zst") == 0; ++steps) {
    ASSERT_TRUE(step(true));
    ASSERT_LE(steps, 3) << "and goes on where it was: the rest is written, and all compared";
  }
  EXPECT_EQ(count(".seal"), 3);
  EXPECT_EQ(count(".keys"), 1);
}

}  // namespace
}  // namespace millrace::wal
