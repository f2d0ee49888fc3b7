// Proves, over a bus in memory that the idle strategy steps, that publish drops nothing and names bad lines, that tail
// shows what was published, once and as it was, and that dump and verify read the same from the log's files.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"
#include "tools/millrace/event_line.hpp"
#include "tools/millrace/publish.hpp"
#include "tools/millrace/tail.hpp"
#include "tools/millrace/wal_dump.hpp"
#include "tools/millrace/wal_verify.hpp"

namespace millrace::cli {
namespace {

using millrace::testing::MemoryBus;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Where the program would wait, the core gets its turn.
class SteppingIdle final : public IdleStrategy {
 public:
  explicit SteppingIdle(MemoryBus& bus) : bus_(bus) {}
  void idle(std::uint64_t work) override {
    if (work == 0) bus_.settle();
  }

 private:
  MemoryBus& bus_;
};

class CliLoopsTest : public ::testing::Test {
 protected:
  CliLoopsTest() {
    bus_.emplace(millrace::testing::MemoryBusOptions{.folder = log_folder()}, clock_);
    idle_.emplace(*bus_);
    publisher_ = bus_->publisher("cli");
  }
  [[nodiscard]] std::string log_folder() const { return folder_.at("log"); }
  [[nodiscard]] static std::string trade(int number) {
    return "{\"trade_id\":\"T-" + std::to_string(number) + "\",\"instrument\":\"" + (number % 2 == 0 ? "EVEN" : "ODD") +
           "\",\"quantity\":\"" + std::to_string(number) + "\"}\n";
  }
  [[nodiscard]] static std::string trades(int count) {
    std::string text;
    for (int i = 1; i <= count; ++i) text += trade(i);
    return text;
  }

  // A file with `text`, open for reading at its begin.
  [[nodiscard]] UniqueFd file_of(const std::string& text) {
    std::ofstream(folder_.at("input")) << text;
    return UniqueFd(::open(folder_.at("input").c_str(), O_RDONLY | O_CLOEXEC));
  }
  Exit publish(const std::string& text, bool keep_going = false) {
    const UniqueFd input = file_of(text);
    Lines lines(input.get());
    counts_ = {};
    ::testing::internal::CaptureStderr();
    const Exit result =
        publish_lines(lines, *publisher_, bus_->type(), {.topic = "t", .keep_going = keep_going}, *idle_, counts_);
    errors_ = ::testing::internal::GetCapturedStderr();
    return result;
  }

  // What `command` writes to the Output it is given, line by line.
  template <class Command>
  std::vector<std::string> lines_of(Command&& command) {
    const std::string path = folder_.at("output");
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    Output out(file.get());
    ::testing::internal::CaptureStderr();
    exit_ = command(out);
    errors_ = ::testing::internal::GetCapturedStderr();
    std::ifstream in(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  std::vector<std::string> tail(const TailOptions& options, const Start& start) {
    const auto subscriber = bus_->subscribe(Level::recorded, start);
    EXPECT_TRUE(subscriber) << subscriber.error().message;
    return lines_of([&](Output& out) { return tail_events(**subscriber, bus_->type(), options, *idle_, out); });
  }

  TemporaryFolder folder_;
  ManualClock clock_;
  std::optional<MemoryBus> bus_;
  std::optional<SteppingIdle> idle_;
  std::unique_ptr<Publisher> publisher_;
  PublishCounts counts_;
  Exit exit_ = Exit::ok;
  std::string errors_;
};

TEST_F(CliLoopsTest, PublishOffersAgainWhatTheRingCannotTakeYet) {
  EXPECT_EQ(publish(trades(20'000)), Exit::ok);  // several times the ring
  EXPECT_EQ(counts_.published, 20'000u);
  EXPECT_EQ(counts_.last, Sequence(20'000));
  EXPECT_GT(publisher_->back_pressured(), 0u);
  EXPECT_EQ(await_last(*publisher_, counts_.last, true, *idle_, clock_), Exit::ok);
  EXPECT_EQ(tail({.follow = false}, StartEarliest{}).size(), 20'000u);
}

TEST_F(CliLoopsTest, PublishStopsAtABadLineAndNamesIt) {
  EXPECT_EQ(publish(trade(1) + "\n{\"price\":1.5}\n" + trade(2)), Exit::usage);
  EXPECT_EQ(counts_.published, 1u);
  EXPECT_THAT(errors_, HasSubstr("line 3: "));
  EXPECT_THAT(errors_, HasSubstr("price"));
}

TEST_F(CliLoopsTest, PublishKeepsGoingWhenToldAndCounts) {
  EXPECT_EQ(publish(trade(1) + "nonsense\n" + trade(2) + "{\"colour\":1}\n" + trade(3), true), Exit::usage);
  EXPECT_EQ(counts_.published, 3u);
  EXPECT_EQ(counts_.bad, 2u);
  EXPECT_THAT(errors_, HasSubstr("line 2: "));
  EXPECT_THAT(errors_, HasSubstr("line 4: "));
}

TEST_F(CliLoopsTest, TailShowsPositionTimesAndEventInOneLine) {
  ASSERT_EQ(publish(trade(1)), Exit::ok);
  const auto lines = tail({.follow = false}, StartEarliest{});
  EXPECT_TRUE(lines.empty()) << "nothing was recorded yet";
  const auto recorded = tail({.limit = 1}, StartEarliest{});
  ASSERT_EQ(recorded.size(), 1u);
  EXPECT_THAT(recorded[0],
              StartsWith("{\"offset\":0,\"sequence\":1,\"publisher\":1,\"epoch\":1,\"publish_time\":\"20"));
  EXPECT_THAT(recorded[0], HasSubstr("Z\",\"cause\":null,\"cause_index\":null,\"event\":{\"trade_id\":\"T-1\","));
  EXPECT_TRUE(recorded[0].ends_with("}}"));
}

TEST_F(CliLoopsTest, TailBeginsWhereToldAndEndsAtItsLimit) {
  ASSERT_EQ(publish(trades(100)), Exit::ok);
  bus_->settle();
  const auto lines = tail({.limit = 3}, Offset(40));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], StartsWith("{\"offset\":40,"));
  EXPECT_THAT(lines[2], StartsWith("{\"offset\":42,"));
}

TEST_F(CliLoopsTest, TailShowsOnlyWhatPassesTheFilter) {
  ASSERT_EQ(publish(trades(100)), Exit::ok);
  bus_->settle();
  const auto lines = tail({.filters = {"instrument=EVEN"}, .follow = false}, StartEarliest{});
  EXPECT_EQ(lines.size(), 50u);
  for (const std::string& line : lines) EXPECT_THAT(line, HasSubstr("\"instrument\":\"EVEN\""));
}

TEST_F(CliLoopsTest, TailEndsQuietlyWhenItsReaderIsGone) {
  ASSERT_EQ(publish(trades(10)), Exit::ok);
  bus_->settle();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  ::signal(SIGPIPE, SIG_IGN);
  const UniqueFd write(ends[1]);
  Output out(write.get());
  const auto subscriber = bus_->subscribe(Level::recorded, StartEarliest{});
  EXPECT_EQ(tail_events(**subscriber, bus_->type(), {}, *idle_, out), Exit::ok);
}

TEST_F(CliLoopsTest, DumpPrintsWhatTailShows) {
  ASSERT_EQ(publish(trades(1000)), Exit::ok);
  bus_->settle();
  const auto shown = tail({.follow = false}, StartEarliest{});
  ASSERT_EQ(shown.size(), 1000u);
  const auto dump = [&](const DumpOptions& options) {
    return lines_of([&](Output& out) { return wal_dump(options, out); });
  };
  EXPECT_EQ(dump({.choice = {.log = log_folder()}}), shown);
  EXPECT_EQ(dump({.choice = {.log = log_folder()}, .range = {.from = "990", .limit = 5}}),
            std::vector(shown.begin() + 990, shown.begin() + 995));
  const auto raw = dump({.choice = {.log = log_folder()}, .range = {.limit = 1}, .raw = true});
  ASSERT_EQ(raw.size(), 1u);
  EXPECT_THAT(raw[0], HasSubstr("\"type\":1,\"bytes\":\""));
}

TEST_F(CliLoopsTest, VerifyCountsASoundLog) {
  ASSERT_EQ(publish(trades(1000)), Exit::ok);
  bus_->settle();
  const auto lines = lines_of([&](Output& out) { return wal_verify({.log = log_folder()}, out); });
  EXPECT_EQ(exit_, Exit::ok) << errors_;
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr(": ok: offsets 0 to 1000, 1000 events in "));
  EXPECT_THAT(lines[0], HasSubstr(" 1 runs, 0 events never recorded, 0 wrong"));
}

TEST_F(CliLoopsTest, VerifyNamesTheOffsetsThatCorruptionHits) {
  ASSERT_EQ(publish(trades(500)), Exit::ok);
  bus_->settle();
  ASSERT_EQ(publish(trades(500)), Exit::ok);
  bus_->settle();
  for (const auto& entry : std::filesystem::directory_iterator(log_folder())) {
    if (entry.path().extension() != ".wal") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    const std::size_t at = text.str().find("T-100");  // in an early batch: later ones prove that it was synced
    if (at == std::string::npos) continue;
    file.clear();
    file.seekp(static_cast<std::streamoff>(at));
    file << "X-100";
  }
  lines_of([&](Output& out) { return wal_verify({.log = log_folder()}, out); });
  EXPECT_EQ(exit_, Exit::failed);
  // A page of 4 KiB holds 18 trades: the sixth batch has the hundredth.
  EXPECT_THAT(errors_, HasSubstr("events from offset 90 to before 108 are lost"));
}

TEST_F(CliLoopsTest, ALogThatIsNotThereIsSaidSo) {
  const auto lines = lines_of([&](Output& out) { return wal_verify({.log = folder_.at("nothing")}, out); });
  EXPECT_EQ(exit_, Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("no folder"));
}

TEST(EventLine, ShowsAnEventOfUnknownTypeAsInvalid) {
  alignas(8) std::byte bytes[frame_header_size + 8]{};
  const FrameHeader header{frame_header_size + 8, 1234, 5, 7, 0, 0, 3};
  std::memcpy(bytes, &header, sizeof header);
  std::string out;
  append_event_line({FrameView(bytes), PublisherId(2), Epoch(3), std::nullopt, {}}, nullptr, out);
  EXPECT_EQ(out,
            "{\"offset\":null,\"sequence\":7,\"publisher\":2,\"epoch\":3,"
            "\"publish_time\":\"1970-01-01T00:00:00.000000000Z\",\"record_time\":null,\"cause\":2,\"cause_index\":5,"
            "\"event\":null,\"invalid\":true}\n");
}

}  // namespace
}  // namespace millrace::cli
