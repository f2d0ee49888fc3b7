// Proves that `wal verify` reads compressed segments, names indexes and segments that are not what they were, and knows
// a chain value again; and that `wal retain --dry-run` says what would be deleted and why, and touches nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <sstream>

#include "bus/base/fd.hpp"
#include "bus/base/temporary_folder.hpp"
#include "tools/millrace/wal_retain.hpp"
#include "tools/millrace/wal_verify.hpp"
#include "wal/checkpoints.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The real disk, with as much room as a test says.
class RoomyFiles : public wal::FileSystem {
 public:
  wal::Space there{1ull << 40, 1ull << 39};

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    EXPECT_EQ(mode, wal::OpenMode::read) << "it touches nothing";
    return disk_.open(path, mode);
  }
  Result<std::unique_ptr<wal::File>> create(const std::string& path) override { return refuse(path); }
  Status rename(const std::string& from, const std::string&) override { return refuse(from); }
  Status unlink(const std::string& path) override { return refuse(path); }
  Status make_folder(const std::string& path) override { return refuse(path); }
  Status sync_folder(const std::string& path) override { return refuse(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return disk_.list(folder); }
  Result<wal::Space> space(const std::string&) override { return there; }

 private:
  static tl::unexpected<Error> refuse(const std::string& path) {
    ADD_FAILURE() << "it touches " << path;
    return fail(ErrorCode::not_permitted, "it touches nothing");
  }
  wal::FileSystem& disk_ = wal::posix_file_system();
};

// Something happens once, when the folder is listed or a file opened.
class MeanwhileFiles final : public RoomyFiles {
 public:
  // Whether it is now: the path of a file that is opened, or nothing where the folder is listed.
  using When = std::function<bool(const std::string& opened)>;
  MeanwhileFiles(When when, std::function<void()> what) : when_(std::move(when)), what_(std::move(what)) {}

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    look(path);
    return RoomyFiles::open(path, mode);
  }
  Result<std::vector<std::string>> list(const std::string& folder) override {
    look({});
    return RoomyFiles::list(folder);
  }
  [[nodiscard]] bool happened() const { return happened_; }

 private:
  void look(const std::string& opened) {
    if (happened_ || !when_(opened)) return;
    happened_ = true;
    what_();
  }

  When when_;
  std::function<void()> what_;
  bool happened_ = false;
};

class WalChecksTest : public ::testing::Test {
 protected:
  WalChecksTest() { write_log("trade_events"); }
  void write_log(const std::string& name) {
    log_ = temporary_.path() + "/" + name;
    writer_.emplace(wal::testing::begin(files_, wal::testing::small_segments(), log_).value());
    std::int64_t time = 0;
    while (segments() < 5) {
      if (!wal::testing::add(*writer_, 20, WallTime{++time})) break;
    }
    EXPECT_TRUE(writer_->sync());
    // The two oldest are compressed.
    const WallTime cold{writer_->sealed_facts()[1].newest.ns + 1};
    while (auto ticket = writer_->take_care(cold)) {
      const Status done = ticket->run();
      EXPECT_TRUE(done && writer_->complete_care(*ticket, done));
    }
  }

  [[nodiscard]] std::size_t segments() { return wal::list_segment_files(files_, log_)->size(); }
  [[nodiscard]] std::vector<std::string> names(const std::string& ending) {
    std::vector<std::string> found;
    const std::vector<std::string> all = files_.list(log_).value();
    for (const std::string& name : all) {
      if (name.ends_with(ending)) found.push_back(wal::join(log_, name));
    }
    return found;
  }
  template <class Command>
  Exit run(Command&& command) {
    const std::string path = temporary_.path() + "/output";
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ::testing::internal::CaptureStderr();
    Output out(file.get());
    const Exit exit = command(out);
    errors_ = ::testing::internal::GetCapturedStderr();
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    shown_ = text.str();
    return exit;
  }
  Exit verify(const std::string& expected = {}, wal::FileSystem& files = wal::posix_file_system()) {
    return run([&](Output& out) { return wal_verify({.log = log_}, out, expected, files); });
  }
  static void flip(const std::string& path, std::uint64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  }
  Exit retain(const std::string& policy, RoomyFiles& files, WallTime now = {1'000'000'000'000}) {
    const std::string config = temporary_.path() + "/millrace.toml";
    std::ofstream(config) << policy;
    return run([&](Output& out) {
      return wal_retain({.choice = {.log = log_, .config = config}, .dry_run = true}, out, now, files);
    });
  }

  TemporaryFolder temporary_;
  std::string log_;
  std::optional<wal::Writer> writer_;
  wal::FileSystem& files_ = wal::posix_file_system();
  std::string shown_;
  std::string errors_;
};

TEST_F(WalChecksTest, VerifyReadsCompressedSegmentsAndTellsTheChain) {
  ASSERT_EQ(names(".zst").size(), 2u);
  EXPECT_EQ(verify(), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("seals: ok: 4 segments sealed, 0 not yet; the chain ends with "));
  const std::string head = shown_.substr(shown_.size() - 65, 64);
  EXPECT_EQ(verify(head), Exit::ok) << errors_;
  EXPECT_EQ(verify(std::string(64, '0')), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("no seal in the log has the chain value 000"));
  EXPECT_EQ(verify("12"), Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("64 hexadecimal digits"));
  // A later seal does not hide the value from before.
  ASSERT_TRUE(files_.unlink(names(".seal").back()));
  EXPECT_EQ(verify(head), Exit::failed);
}

TEST_F(WalChecksTest, VerifyNamesWhatASealNotices) {
  // Behind the header's table of publishers there is only padding, which no batch covers; the forger makes its checksum
  // anew. So the log is sound, and yet not what was sealed.
  const std::string path = names(".wal").front();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::vector<std::byte> header(wal::header_alignment);
  file.read(reinterpret_cast<char*>(header.data()), static_cast<std::streamsize>(header.size()));
  header[4000] = std::byte{1};
  const std::uint64_t checksum = wal::checksum_of(std::span(header).subspan(wal::checksummed_from));
  std::memcpy(header.data() + 8, &checksum, sizeof checksum);
  file.seekp(0);
  file.write(reinterpret_cast<const char*>(header.data()), static_cast<std::streamsize>(header.size()));
  file.close();
  EXPECT_EQ(verify(), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("was changed after it was sealed"));
  EXPECT_THAT(shown_, HasSubstr("seals: BAD"));
}

TEST_F(WalChecksTest, VerifyNamesAnIndexThatIsWrong) {
  const std::string path = names(".idx")[1];
  flip(path, 60);
  EXPECT_EQ(verify(), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr(std::filesystem::path(path).filename().string() + " is damaged"));
  // Right by its checksum, and wrong all the same.
  const auto links = wal::list_chain(files_, log_).value();
  auto entries = std::vector<wal::IndexEntry>{{links[1].name.first_offset.value() + 1, 0, 4096}};
  ASSERT_TRUE(wal::write_index(files_, log_, links[1].name, links[1].log_id, *links[1].end, entries));
  EXPECT_EQ(verify(), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("leads to byte 4096 for offset"));
  ASSERT_TRUE(files_.unlink(path));
  EXPECT_EQ(verify(), Exit::ok) << "one that is missing does no harm: " << errors_;
}

// While it reads, and between any two steps of what it does with an index.
TEST_F(WalChecksTest, VerifyOfALogThatRetentionShortensMeanwhileIsNotBad) {
  for (int step = 0; step < 3; ++step) {
    write_log("shortened" + std::to_string(step));
    int lists = 0, indexes = 0;
    MeanwhileFiles files(
        [&](const std::string& opened) {
          lists += opened.empty() ? 1 : 0;
          indexes += opened.ends_with(".idx") ? 1 : 0;
          if (step == 0) return lists == 3;    // when the first segment was read
          if (step == 1) return indexes == 2;  // the index is looked for, and then read
          return indexes == 2 && !opened.empty() && !opened.ends_with(".idx");  // it was read
        },
        [&] { EXPECT_TRUE(writer_->retain(1)); });
    EXPECT_EQ(verify({}, files), Exit::ok) << step << errors_;
    ASSERT_TRUE(files.happened() && segments() < 4) << step;
    EXPECT_THAT(shown_, HasSubstr(": ok: offsets 0 to ")) << step;
    EXPECT_THAT(shown_, HasSubstr(", 0 wrong")) << step;
    EXPECT_EQ(errors_.find("is deleted; the first there is: ") != std::string::npos, step == 0) << errors_;
  }
}

TEST_F(WalChecksTest, VerifyNamesDamageInACompressedSegment) {
  const std::string path = names(".zst").front();
  flip(path, std::filesystem::file_size(path) / 2);
  EXPECT_EQ(verify(), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("is corrupt from byte"));
}

TEST_F(WalChecksTest, RetainShowsWhatWouldBeDeletedAndWhy) {
  RoomyFiles files;
  EXPECT_EQ(run([&](Output& out) { return wal_retain({.choice = {.log = log_}}, out, WallTime{1}, files); }),
            Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("the core deletes"));
  const std::string small = "[topics.trade_events]\nsegment_bytes = 32768\npage_bytes = 4096\n";
  EXPECT_EQ(retain(small, files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("0 of 5 segments would be deleted"));
  EXPECT_EQ(retain(small + "retention_bytes = 94500\n", files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("deleted: the log is larger than retention_bytes"));
  EXPECT_THAT(shown_, HasSubstr("2 of 5 segments would be deleted")) << "the two small ones are not enough";
  EXPECT_EQ(retain(small + "retention_age = \"1s\"\n", files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("4 of 5 segments would be deleted"));
  EXPECT_THAT(shown_, HasSubstr("deleted: older than retention_age"));
  // A durable consumer holds back age, and nothing else.
  {
    auto checkpoints = wal::Checkpoints::open(files_, log_, wal::testing::log_id);
    ASSERT_TRUE(checkpoints);
    const auto wanted = wal::list_segment_files(files_, log_)->at(2).first_offset;
    ASSERT_TRUE(checkpoints->store({{"risk", 1, millrace::Run(1), wanted, WallTime{1}}}));
  }
  EXPECT_EQ(retain(small + "retention_age = \"1s\"\n", files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("2 of 5 segments would be deleted"));
  EXPECT_THAT(shown_, HasSubstr("kept: a durable consumer still wants it"));
  EXPECT_EQ(retain(small + "retention_age = \"1s\"\nretention_consumers = false\n", files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("4 of 5 segments would be deleted"));
  files.there.free = 0;
  EXPECT_EQ(retain("core = {free_space_floor = 1}\n" + small, files), Exit::ok) << errors_;
  EXPECT_THAT(shown_, HasSubstr("deleted: less than the floor is free"));
  EXPECT_THAT(shown_, HasSubstr("1 of 5 segments would be deleted"));
  EXPECT_EQ(retain("default_topics = false\n[topics.fills]\ntype = \"trade_events\"\n", files), Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("has no topic 'trade_events'"));
  EXPECT_EQ(segments(), 5u);
}

}  // namespace
}  // namespace millrace::cli
