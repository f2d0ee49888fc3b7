// Proves that a log is verified without a false alarm while its writer goes on, deletes segments and writes over them.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "wal/fault_file_system.hpp"
#include "wal/seals.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr WallTime never{std::numeric_limits<std::int64_t>::min()};
constexpr WallTime always{std::numeric_limits<std::int64_t>::max()};

// The file system below, with something else going on before each open and each listing.
class BusyFiles final : public FileSystem {
 public:
  BusyFiles(FileSystem& below, std::function<void()> meanwhile) : below_(below), meanwhile_(std::move(meanwhile)) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    meanwhile_();
    return below_.open(path, mode);
  }
  Result<std::vector<std::string>> list(const std::string& folder) override {
    meanwhile_();
    return below_.list(folder);
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override { return below_.create(path); }
  Status rename(const std::string& from, const std::string& to) override { return below_.rename(from, to); }
  Status unlink(const std::string& path) override { return below_.unlink(path); }
  Status make_folder(const std::string& path) override { return below_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return below_.sync_folder(path); }

 private:
  FileSystem& below_;
  std::function<void()> meanwhile_;
};

TEST(SealsOfALiveLog, AreVerifiedWhileSegmentsAreDeletedAndWrittenOver) {
  constexpr std::size_t segments = 8;
  std::size_t deleted_meanwhile = 0, recycled = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    FaultFileSystem files;
    std::mt19937_64 random(seed);
    WriterOptions options = small_segments(16384);
    options.recycle = seed % 4 != 0;
    auto writer = begin(files, options);
    ASSERT_TRUE(writer);
    const auto grow = [&](std::size_t count) {
      while (segment_paths(files).size() < count) ASSERT_TRUE(add_synced(*writer, 10));
    };
    const auto care = [&](WallTime cold) {
      while (auto ticket = writer->take_care(cold)) {
        const Status done = ticket->run();
        ASSERT_TRUE(writer->complete_care(*ticket, done)) << done.error().message;
      }
    };
    const auto delete_oldest = [&] {
      auto ticket = writer->take_deletion(1, never);
      ASSERT_TRUE(ticket && ticket->run());
      ASSERT_TRUE(writer->complete_deletion(*ticket, {}));
      const auto names = files.list("t").value();
      recycled += std::find(names.begin(), names.end(), "prepared") != names.end();
    };
    grow(segments);
    care(seed % 3 == 0 ? always : never);
    if (seed % 5 != 0) delete_oldest();
    // All but the one that is open now, in a few goes: a few calls behind one another, or far apart.
    std::size_t left = segments - 2;
    const std::uint64_t between = 1 + random() % 20;
    const auto meanwhile = [&] {
      if (left == 0 || random() % between != 0) return;
      for (std::size_t count = 1 + random() % 2; count > 0 && left > 0; --count, --left, ++deleted_meanwhile) {
        delete_oldest();
      }
      if (random() % 2 == 0) grow(segment_paths(files).size() + 1);
      if (random() % 2 == 0) care(random() % 2 == 0 ? always : never);
    };
    BusyFiles busy(files, meanwhile);
    const auto report = verify_seals(busy, "t", [&] { return meanwhile(), false; });
    ASSERT_TRUE(report) << seed << " " << report.error().message;
    ASSERT_TRUE(report->wrong.empty()) << seed << " " << report->wrong.front();
    const auto after = verify_seals(files, "t");
    ASSERT_TRUE(after && after->wrong.empty()) << seed;
  }
  EXPECT_GT(deleted_meanwhile, 1000u);
  EXPECT_GT(recycled, 300u);
}

}  // namespace
}  // namespace millrace::wal
