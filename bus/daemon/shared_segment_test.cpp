// Proves that a ring is one memory for everybody: the core's pointer, both descriptors, and a stock iceoryx program in
// another process, which finds it as iceoryx's own introspection does; and that RouDi starts, is refused a start, ends,
// and starts again after a kill, as it should: with errors where iceoryx itself would end the process.
#include "bus/daemon/shared_segment.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bus/base/limits.hpp"
#include "bus/daemon/test/processes.hpp"

namespace millrace::daemon {
namespace {

using testing::Process;
using testing::program;

std::unique_ptr<SharedSegment> start(const std::vector<RingRequest>& rings) {
  auto segment = SharedSegment::start(rings);
  EXPECT_TRUE(segment) << segment.error().message;
  return segment ? std::move(*segment) : nullptr;
}

const std::vector<RingRequest> mixed{{"trade_events", "stream0", 1'000'000}, {"orders", "stream0", 300'001},
                                     {"orders", "stream1", 300'001},         {"orders", "stream2", 299'999},
                                     {"market_l2", "stream0", 5'000'000},    {"system.health", "stream0", 4096}};

TEST(SharedSegment, RingsArePageAlignedZeroedAndTheSameBytesThroughBothDescriptors) {
  const auto segment = start(mixed);
  ASSERT_TRUE(segment);
  std::vector<Mapping> read, write;
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(segment->ring(i)) % limits::memory_page, 0u);
    EXPECT_EQ(segment->ring_offset(i) % limits::memory_page, 0u);
    EXPECT_LE(segment->ring_offset(i) + mixed[i].bytes, segment->bytes());
    const auto zero = [](std::byte b) { return b == std::byte{0}; };
    EXPECT_TRUE(std::all_of(segment->ring(i), segment->ring(i) + mixed[i].bytes, zero));
    auto ro =
        Mapping::map(segment->fd_read_only(), segment->ring_offset(i), mixed[i].bytes, Access::read_only, "the ring");
    auto rw =
        Mapping::map(segment->fd_read_write(), segment->ring_offset(i), mixed[i].bytes, Access::read_write, "the ring");
    ASSERT_TRUE(ro && rw);
    read.push_back(std::move(*ro));
    write.push_back(std::move(*rw));
  }
  for (std::size_t i = 0; i < mixed.size(); ++i) std::memset(segment->ring(i), static_cast<int>(i + 1), mixed[i].bytes);
  for (std::size_t i = 0; i < mixed.size(); ++i) {  // all are written: none lies in another
    const auto mine = [&](std::byte b) { return b == std::byte(i + 1); };
    EXPECT_TRUE(std::all_of(read[i].bytes().begin(), read[i].bytes().end(), mine)) << i;
    write[i].bytes().back() = std::byte{0xee};
    EXPECT_EQ(segment->ring(i)[mixed[i].bytes - 1], std::byte{0xee}) << i;
  }
}

TEST(SharedSegment, TheReadOnlyDescriptorCannotBeMappedWritable) {
  const auto segment = start({{"trade_events", "stream0", 100'000}});
  ASSERT_TRUE(segment);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd_read_only(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  void* const readable = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, segment->fd_read_only(), 0);
  ASSERT_NE(readable, MAP_FAILED);
  EXPECT_EQ(::mprotect(readable, 4096, PROT_READ | PROT_WRITE), -1);
  ::munmap(readable, 4096);
}

TEST(SharedSegment, AStockIceoryxProgramTakesTheRingAndSeesWhatTheCoreWritesLater) {
  const auto segment = start(mixed);
  ASSERT_TRUE(segment);
  auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(segment->ring(2));
  words[0] = 42;
  for (std::size_t i = 0; i < mixed.size(); ++i) segment->announce(i);
  Process reader({program("stock_reader"), "orders", "stream1"});
  EXPECT_EQ(reader.line_with("took"), "took 303104 42") << reader.errors();  // 300'001 and the rest of its page
  words[1] = 43;
  EXPECT_EQ(reader.line_with("saw"), "saw 43") << reader.errors();
  EXPECT_EQ(reader.wait(), 0);
  Process again({program("stock_reader"), "orders", "stream1"});
  EXPECT_EQ(again.line_with("saw"), "saw 43") << "the ring is there for whoever comes later";
}

TEST(SharedSegment, AStockIceoryxProgramReadsTheFramesOfARunningCore) {
  testing::TestCore core;
  Process puppet = core.puppet("trade_events", "maker", 10'000);
  ASSERT_EQ(puppet.line_with("done"), "done 10000") << puppet.errors();
  Process reader({program("stock_reader"), "trade_events", "stream0", "10000"});
  EXPECT_EQ(reader.line_with("read"), "read 10000") << reader.errors();
}

TEST(SharedSegment, AStockReaderThatIsKilledDisturbsNobody) {
  const auto segment = start({{"trade_events", "stream0", 100'000}});
  ASSERT_TRUE(segment);
  segment->announce(0);
  for (int i = 0; i < 5; ++i) {
    Process reader({program("stock_reader"), "trade_events", "stream0"});
    EXPECT_TRUE(reader.line_with("took")) << reader.errors();
    reader.signal(SIGKILL);
    EXPECT_EQ(reader.wait(), 128 + SIGKILL);
  }
}

TEST(SharedSegment, TheIntrospectionClientListsTheServices) {
  const auto segment = start(mixed);
  ASSERT_TRUE(segment);
  for (std::size_t i = 0; i < mixed.size(); ++i) segment->announce(i);
  // It draws on a terminal, so it gets one; what it draws becomes lines.
  Process client({"/bin/sh", "-c",
                  "script -qfc 'stty rows 200 cols 200; TERM=xterm iox-introspection-client --all' /dev/null "
                  "< /dev/null | stdbuf -o0 tr '\\033' '\\n'"});
  std::string seen;
  while (seen.find("market_l2") == std::string::npos || seen.find("system.health") == std::string::npos) {
    const auto line = client.line();
    ASSERT_TRUE(line) << seen << client.errors();
    ASSERT_LT(seen.size(), 1u << 20) << "it draws again and again, without them";
    seen += *line + "\n";
  }
  EXPECT_NE(seen.find("millrace"), std::string::npos) << seen;
}

TEST(SharedSegment, ASecondStartOnTheHostIsRefusedAndTheFirstGoesOn) {
  Process holder({program("segment_holder")});
  const auto holding = holder.line_with("holding");
  ASSERT_TRUE(holding) << holder.errors();
  for (int i = 0; i < 3; ++i) {
    const auto second = SharedSegment::start({{"trade_events", "stream0", 100'000}});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::in_use);
    EXPECT_NE(second.error().message.find(".lock"), std::string::npos) << second.error().message;
  }
  EXPECT_FALSE(holder.wait(std::chrono::seconds(0)));
  ::kill(std::stoi(holding->substr(holding->find(' '))), SIGKILL);
}

TEST(SharedSegment, AStartAfterAKillWorksThoughAProgramOfTheDeadOneLivesOn) {
  std::vector<pid_t> children;
  for (int i = 0; i < 5; ++i) {
    Process holder({program("segment_holder")});
    const auto holding = holder.line_with("holding");
    ASSERT_TRUE(holding) << i << ": " << holder.errors();
    children.push_back(std::stoi(holding->substr(holding->find(' '))));
    holder.signal(SIGKILL);
    EXPECT_EQ(holder.wait(), 128 + SIGKILL);
  }
  EXPECT_TRUE(start(mixed));
  for (const pid_t child : children) {
    EXPECT_EQ(::kill(child, SIGKILL), 0) << "it lived on";
  }
}

TEST(SharedSegment, TheMemoryOfADeadCoreIsReadByWhoOpenedItBeforeTheNextStart) {
  std::string path;
  {
    const auto probe = start(mixed);
    ASSERT_TRUE(probe);
    path = probe->file_path();
  }
  Process holder({program("segment_holder")});
  const auto holding = holder.line_with("holding");
  ASSERT_TRUE(holding) << holder.errors();
  ::kill(std::stoi(holding->substr(holding->find(' '))), SIGKILL);
  holder.signal(SIGKILL);
  (void)holder.wait();
  std::ifstream dead(path);
  ASSERT_TRUE(dead) << "it stays after a kill";
  const auto segment = start(mixed);
  ASSERT_TRUE(segment);
  segment->ring(0)[0] = std::byte{1};
  const auto now = Mapping::map(segment->fd_read_only(), 0, 4096, Access::read_only, "the segment");
  ASSERT_TRUE(now);
  dead.seekg(0, std::ios::end);
  EXPECT_LT(static_cast<std::uint64_t>(dead.tellg()), segment->bytes()) << "still the old, smaller one";
}

TEST(SharedSegment, ACleanEndLeavesNothingAndTheNextStartInTheSameProcessWorks) {
  for (int i = 0; i < 3; ++i) {
    std::string file;
    {
      const auto segment = start(mixed);
      ASSERT_TRUE(segment);
      segment->announce(0);  // some are announced, some are not
      file = segment->file_path();
      EXPECT_TRUE(std::filesystem::exists(file));
    }
    for (const std::string& left : {file, std::string("/dev/shm/iceoryx_mgmt"), std::string("/tmp/roudi"),
                                    std::string("/tmp/iox-unique-roudi.lock"), std::string("/tmp/millraced")}) {
      EXPECT_FALSE(std::filesystem::exists(left)) << left;
    }
  }
}

TEST(SharedSegment, LockFilesThatAnotherUsersDeadRouDiLeftAreRemoved) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make another user's files";
  for (const char* path : {"/tmp/iox-unique-roudi.lock", "/tmp/roudi.lock", "/tmp/millraced.lock"}) {
    std::ofstream(path) << "";
    ASSERT_EQ(::chown(path, 65534, 65534), 0);
  }
  EXPECT_TRUE(start(mixed));
}

TEST(SharedSegment, RingsBeyondWhatIceoryxOrTheMemoryHoldsAreRefusedBeforeAnythingStarts) {
  const auto refused = [](const std::vector<RingRequest>& rings) {
    const auto segment = SharedSegment::start(rings);
    EXPECT_FALSE(segment);
    EXPECT_FALSE(std::filesystem::exists("/dev/shm/iceoryx_mgmt"));
    return segment ? Error{} : segment.error();
  };
  const std::size_t gib = std::size_t{1} << 30;
  EXPECT_EQ(refused({{"a", "stream0", 2 * gib}, {"b", "stream0", 2 * gib}}).code, ErrorCode::too_large);
  EXPECT_EQ(refused({{"a", "stream0", 5 * gib}}).code, ErrorCode::too_large);

  struct statvfs space {};
  ASSERT_EQ(::statvfs("/dev/shm", &space), 0);
  std::vector<RingRequest> rings;
  for (std::uint64_t bytes = 0; bytes <= space.f_bavail * space.f_frsize; bytes += rings.back().bytes) {
    rings.push_back({"a", "stream" + std::to_string(rings.size()), 3 * gib + rings.size() * limits::memory_page});
  }
  EXPECT_EQ(refused(rings).code, ErrorCode::no_space) << refused(rings).message;

  rings.clear();
  for (std::size_t i = 0; i <= limits::rings_max; ++i) rings.push_back({"a", "stream" + std::to_string(i), 4096});
  EXPECT_EQ(refused(rings).code, ErrorCode::exhausted);
  rings.clear();
  for (std::size_t i = 1; i <= limits::pools_max + 1; ++i) rings.push_back({"a", "s" + std::to_string(i), 4096 * i});
  EXPECT_EQ(refused(rings).code, ErrorCode::exhausted);
}

TEST(SharedSegment, AsManyRingsAsAllowedFit) {
  std::vector<RingRequest> rings;
  for (std::size_t i = 0; i < limits::rings_max; ++i) {
    rings.push_back({"a", "stream" + std::to_string(i), 4096 * (1 + i % limits::pools_max)});
  }
  const auto segment = start(rings);
  ASSERT_TRUE(segment);
  for (std::size_t i = 0; i < rings.size(); ++i) segment->announce(i);
}

}  // namespace
}  // namespace millrace::daemon
