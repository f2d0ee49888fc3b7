// Proves that a chain that reads only the headers it is asked for is the one that a walk over all headers finds, after
// any history of crashes and failures, and that the number of reads does not grow with the log.
#include "wal/chain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

#include "wal/fault_file_system.hpp"
#include "wal/testing/counting_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

// The definition: from the newest back, each header naming the next one.
std::vector<Link> walk_back(FileSystem& files) {
  const auto names = list_segment_files(files, "t").value();
  std::vector<Link> chain;
  bool named = false;
  SegmentHeader successor{};
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::uint64_t number = name->number.value();
    if (named &&
        (number > successor.previous_segment ||
         (number == successor.previous_segment && name->first_offset.value() != successor.previous_first_offset))) {
      continue;
    }
    const auto segment = SegmentReader::open(files, "t", *name, ReadMode::pread).value();
    const SegmentHeader& header = segment.header();
    Link link{*name, segment.header_valid(), {}, {}, 0, 0, Run(0), {}};
    if (named && number == successor.previous_segment) {
      link.end = successor.previous_end;
    } else if (named) {
      chain.back().missing = {Offset(successor.previous_first_offset), SegmentNumber(successor.previous_segment)};
      chain.back().missing_end = successor.previous_end;
    }
    named = link.header_valid;
    if (named) {
      link.created = header.created;
      link.run = Run(header.run);
      link.log_id = LogId{header.log_id};
      successor = header;
    }
    chain.push_back(link);
    if (named && successor.previous_segment == 0) break;
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

// Lives that end in any way: in a start, in a failure, in a crash that takes back what was not synced, also deletions.
void live(FaultFileSystem& files, std::mt19937_64& random) {
  std::int64_t now = 1;
  for (std::uint64_t life = 3 + random() % 5; life > 0; --life) {
    if (random() % 3 == 0) files.fail_at(random() % 60, ErrorCode::io_failed, random() % 2 == 0);
    auto writer = begin(files, small_segments(16384));
    files.heal();
    if (writer && random() % 3 != 0) {
      for (std::uint64_t i = random() % 40; i > 0; --i) {
        if (writer->publishers().empty()) (void)writer->append_publisher(matching(), WallTime{now});
        if (random() % 30 == 0) files.fail_at(random() % 8, ErrorCode::io_failed);
        if (!writer->publishers().empty()) (void)add(*writer, 10, WallTime{now += 5});
        if (random() % 4 == 0) (void)writer->sync();
        if (random() % 12 == 0) (void)writer->retain(6 * 16384);
        files.heal();
        if (writer->failure() && !writer->reopen_after_failure(WallTime{now}, Rewrite::anew)) break;
      }
    }
    writer = fail(ErrorCode::not_ready, "its life is over");
    if (random() % 2 == 0) files.crash(random());
  }
}

struct Met {
  std::size_t voids = 0, between = 0, missing = 0, bad = 0;
};

void damage(FaultFileSystem& files, std::mt19937_64& random) {
  const auto paths = segment_paths(files);
  if (paths.size() < 3) return;
  for (std::uint64_t i = random() % 3; i > 0; --i) {
    auto* bytes = files.bytes_of(paths[random() % paths.size()]);
    if (bytes != nullptr && !bytes->empty()) bytes->at(20) ^= std::byte{1};
  }
  if (random() % 3 == 0) (void)files.unlink(paths[1 + random() % (paths.size() - 2)]);
}

void compare(FileSystem& files, const std::vector<Link>& truth, std::mt19937_64& random) {
  EXPECT_EQ(list_chain(files, "t").value(), truth);
  Chain chain(files, "t");
  ASSERT_TRUE(chain.list());
  const auto index_of = [&](SegmentName name) {
    const auto found = std::find_if(truth.begin(), truth.end(), [&](const Link& link) { return link.name == name; });
    return static_cast<std::size_t>(found - truth.begin());
  };
  for (int asked = 0; asked < 20; ++asked) {
    const auto what = random() % 4;
    if (what == 0) {
      const std::size_t i = random() % chain.size();
      const Link link = chain.link(i).value();
      ASSERT_LT(index_of(link.name), truth.size()) << to_file_name(link.name) << " is void";
      ASSERT_EQ(link, truth[index_of(link.name)]) << to_file_name(link.name);
      if (i == 0) {
        ASSERT_EQ(link.name, truth[0].name);
      }
      const std::size_t before = chain.before(i).value();
      ASSERT_EQ(index_of(chain.name(before)), index_of(link.name) - (index_of(link.name) > 0)) << i;
    } else if (what == 1) {
      const Offset offset(random() % 600);
      std::size_t last = 0;
      while (last + 1 < truth.size() && truth[last + 1].name.first_offset < offset) ++last;
      ASSERT_EQ(chain.name(chain.begins_before(offset).value()), truth[last].name) << offset.value();
    } else {
      const Run run(random() % 12);
      const auto time = static_cast<std::int64_t>(random() % 800);
      const bool by_run = what == 2;
      const auto past = [&](const SegmentHeader& h) { return by_run ? Run(h.run) > run : h.created >= time; };
      const auto found = std::find_if(truth.begin(), truth.end(), [&](const Link& link) {
        return link.header_valid && (by_run ? link.run > run : link.created >= time);
      });
      const std::size_t first = chain.first(past).value();
      ASSERT_EQ(first == chain.size(), found == truth.end()) << run.value() << " " << time;
      if (found != truth.end()) {
        ASSERT_EQ(chain.name(first), found->name) << run.value() << " " << time;
      }
    }
    if (random() % 10 == 0) {
      ASSERT_TRUE(chain.list());
    }
  }
}

TEST(Chain, IsWhatAWalkOverAllHeadersFindsAfterAnyHistory) {
  Met met;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    FaultFileSystem files;
    live(files, random);
    if (seed % 2 == 0) damage(files, random);
    if (segment_paths(files).empty()) continue;
    const auto truth = walk_back(files);
    const auto names = list_segment_files(files, "t").value();
    met.voids += names.size() - truth.size();
    for (std::size_t i = 0; truth.size() > 1 && names[i].number < truth[truth.size() - 2].name.number; ++i) {
      met.between += std::none_of(truth.begin(), truth.end(), [&](const Link& link) { return link.name == names[i]; });
    }
    for (const Link& link : truth) {
      met.missing += link.missing.has_value();
      met.bad += !link.header_valid;
    }
    compare(files, truth, random);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  EXPECT_GT(met.voids, 150u);
  EXPECT_GT(met.between, 5u);
  EXPECT_GT(met.missing, 300u);
  EXPECT_GT(met.bad, 1000u);
}

// A ticket that was out while its writer failed and was reopened may name its segment when others already follow:
// nothing but the headers behind it tells that it does not count, nor where the segment before it ends.
TEST(Chain, PassesOverWhatALateTicketNamedBetweenOlderSegments) {
  FaultFileSystem files;
  auto writer = begin(files, small_segments(16384));
  ASSERT_TRUE(add_synced(*writer, 5));
  writer->set_housekeeping(Housekeeping::elsewhere);
  while (add(*writer, 5)) {
  }
  const std::uint64_t rolled_at = 4096 + sizeof(BatchHeader) + sizeof(PublisherRecord) + writer->unsynced_bytes() +
                                  sizeof(BatchHeader) + 5 * frame_size(64);
  auto preparation = writer->take_preparation(false);
  ASSERT_TRUE(preparation && preparation->run());
  ASSERT_TRUE(writer->complete_preparation(*preparation, {}));
  const SyncTicket late = writer->begin_sync();
  ASSERT_TRUE(writer->rolling());
  writer->complete_sync(writer->begin_sync(), fail(ErrorCode::io_failed, "a sync that failed"));
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{2}, Rewrite::anew));
  ASSERT_EQ(writer->next_offset(), Offset(5));
  while (segment_paths(files).size() < 4) ASSERT_TRUE(add(*writer, 5, WallTime{4}));
  const std::uint64_t end = writer->next_offset().value();

  // What `late` would name: the number before the reopening's is its.
  const auto names = list_segment_files(files, "t").value();
  ASSERT_EQ(names[0].number.next().next(), names[1].number);
  const auto truth = walk_back(files);
  std::vector<std::byte> bytes = *files.bytes_of(join("t", to_file_name(names[1])));
  SegmentHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const SegmentName name{late.end(), names[0].number.next()};
  header.segment = name.number.value();
  header.first_offset = name.first_offset.value();
  header.run = 1;
  ASSERT_LT(header.previous_end, rolled_at);
  header.previous_end = rolled_at;
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).first(header.header_bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::fill(bytes.begin() + header.header_bytes, bytes.end(), std::byte{0});
  { ASSERT_TRUE(files.create(join("t", to_file_name(name)))); }
  *files.bytes_of(join("t", to_file_name(name))) = bytes;

  EXPECT_EQ(walk_back(files), truth);
  EXPECT_EQ(list_chain(files, "t").value(), truth);
  EXPECT_TRUE(read_log(files).is(0, end)) << read_log(files).problem;
  EXPECT_TRUE(read_log(files).corruptions.empty());
  for (std::uint64_t offset = 0; offset < end; ++offset) {
    auto reader = Reader::open(files, "t");
    ASSERT_TRUE(reader->seek(Offset(offset)));
    ASSERT_TRUE(read_all(*reader, Offset(offset)).is(offset, end)) << offset;
  }
}

struct Reads {
  std::size_t segments = 0;
  CountingFileSystem::Counts open, seek, time, run, end, recovery;  // the most of any
};

Reads count_reads(std::size_t segments) {
  Reads most;
  FaultFileSystem files;
  std::int64_t now = 1;
  {
    Run run;
    for (std::size_t made = 0; made < segments; ++made) {
      // A new run every so often, so that the end of one has to be looked for.
      auto writer = begin(files, small_segments(16384));
      while (segment_paths(files).size() <= made) EXPECT_TRUE(add(*writer, 20, WallTime{now += 10}));
      while (made + 1 < segments && made % 16 != 15) {
        EXPECT_TRUE(add(*writer, 20, WallTime{now += 10}));
        made = segment_paths(files).size() - 1;
      }
      EXPECT_TRUE(writer->sync());
    }
  }
  most.segments = segment_paths(files).size();
  CountingFileSystem counting(files);
  const auto measure = [&](CountingFileSystem::Counts& into, const auto& what) {
    Reader reader = Reader::open(counting, "t").value();  // that knows no header but those of its opening
    counting.restart();
    what(reader);
    const auto now_counts = counting.counts();
    into.opens = std::max(into.opens, now_counts.opens);
    into.index_opens = std::max(into.index_opens, now_counts.index_opens);
    into.reads = std::max(into.reads, now_counts.reads);
    into.lists = std::max(into.lists, now_counts.lists);
    into.bytes = std::max(into.bytes, now_counts.bytes);
  };
  const std::uint64_t end = Reader::open(files, "t")->end_offset().value().value();
  const Run last = recover(files, "t")->run;
  measure(most.open, [&](Reader&) { EXPECT_TRUE(Reader::open(counting, "t")); });
  measure(most.end, [&](Reader& reader) { EXPECT_EQ(reader.end_offset().value(), Offset(end)); });
  measure(most.recovery, [&](Reader&) { EXPECT_EQ(recover(counting, "t")->end.next_offset, Offset(end)); });
  for (std::uint64_t i = 0; i <= 50; ++i) {
    measure(most.seek, [&](Reader& reader) { EXPECT_TRUE(reader.seek(Offset(end * i / 50))); });
    measure(most.time,
            [&](Reader& reader) { EXPECT_TRUE(reader.seek_time(WallTime{now * static_cast<std::int64_t>(i) / 50})); });
    measure(most.run, [&](Reader& reader) {
      const Run run(last.value() * i / 50);
      EXPECT_EQ(reader.end_of_run(run).value().has_value(), run < last);
    });
  }
  return most;
}

TEST(Chain, ReadsAFewHeadersHoweverLongTheLogAndOneIndex) {
  for (const std::size_t segments : {10u, 100u, 1000u}) {
    const Reads most = count_reads(segments);
    SCOPED_TRACE(segments);
    EXPECT_GE(most.segments, segments);
    const auto show = [&](const char* what, const CountingFileSystem::Counts& counts) {
      std::printf("%5zu segments, %-10s at most %2zu opens, of them %zu of an index; %2zu reads, %6zu bytes\n",
                  most.segments, what, counts.opens, counts.index_opens, counts.reads, counts.bytes);
    };
    show("open", most.open);
    show("seek", most.seek);
    show("seek_time", most.time);
    show("end_of_run", most.run);
    show("end_offset", most.end);
    show("recover", most.recovery);
    const std::size_t probes = std::bit_width(most.segments);
    for (const auto& counts : {most.open, most.seek, most.end, most.recovery}) {
      EXPECT_LE(counts.opens, 8u);
      EXPECT_LE(counts.reads, 24u);
      EXPECT_LE(counts.lists, 1u);
      EXPECT_LE(counts.index_opens, 1u);
    }
    for (const auto& counts : {most.time, most.run}) {
      EXPECT_LE(counts.opens, probes + 8);
      EXPECT_LE(counts.reads, 2 * probes + 24);
      EXPECT_LE(counts.index_opens, 1u);
    }
    EXPECT_EQ(most.seek.index_opens, 1u);
    EXPECT_EQ(most.time.index_opens, 1u);
  }
}

}  // namespace
}  // namespace millrace::wal
