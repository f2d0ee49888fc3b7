// What the length of a log costs whoever opens it: a reader that opens, seeks by offset and by time and asks for the
// end, and a writer that recovers after a crash, each at growing sizes of one log, with its pages in memory and not.
//   open_bench [GIB] [TURNS]        default 0.25 and 20; sizes are a sixteenth, a quarter and all of GIB
// MILLRACE_BENCH_FOLDER chooses the disk; default is the temporary folder. The log is really written.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "bench/folder.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/fd.hpp"
#include "bus/base/ids.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"
#include "wal/writer.hpp"

namespace millrace::wal {
namespace {

using bench::Folder;

constexpr PublisherId publisher(1);
constexpr std::uint32_t batch_events = 64;
constexpr std::size_t event_bytes = 128;
constexpr std::uint64_t batch_bytes = sizeof(BatchHeader) + batch_events * event_bytes;
constexpr std::int64_t batch_ns = 1'000'000;  // of record time

// How much of a folder's files is in memory, 0 to 1.
double resident(const std::string& folder) {
  double there = 0, all = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.file_size() == 0) continue;
    const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    const auto mapping = Mapping::map(fd.get(), 0, entry.file_size(), Access::read_only, entry.path().string());
    MILLRACE_ASSERT(fd && mapping, "the log's files can be mapped");
    std::vector<unsigned char> pages((mapping->size() + 4095) / 4096);
    void* const begin = const_cast<std::byte*>(mapping->bytes().data());
    MILLRACE_ASSERT(::mincore(begin, mapping->size(), pages.data()) == 0, "the kernel says what is in memory");
    there += static_cast<double>(std::count_if(pages.begin(), pages.end(), [](auto page) { return (page & 1) != 0; }));
    all += static_cast<double>(pages.size());
  }
  return there / all;
}

// Brings all that was written to the disk and takes it out of memory.
void make_cold(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    MILLRACE_ASSERT(fd && ::fdatasync(fd.get()) == 0, "the disk works");
    MILLRACE_ASSERT(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0, "the kernel drops what is clean");
  }
}

void make_warm(const std::string& folder) {
  std::vector<std::byte> bytes(1 << 20);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    while (::read(fd.get(), bytes.data(), bytes.size()) > 0) {
    }
  }
}

struct Figure {
  std::vector<double> ms;

  template <class What>
  void measure(const What& what) {
    const MonotonicTime begin = system_clock().monotonic();
    what();
    ms.push_back(static_cast<double>((system_clock().monotonic() - begin).count()) / 1e6);
  }
  [[nodiscard]] double median() {
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
  }
  [[nodiscard]] double most() const { return *std::max_element(ms.begin(), ms.end()); }
};

class Log {
 public:
  [[nodiscard]] const std::string& folder() const { return path_; }
  [[nodiscard]] std::uint64_t bytes() const { return batches_ * batch_bytes; }
  [[nodiscard]] Offset end() const { return Offset(batches_ * batch_events); }

  void open() {
    auto writer = Writer::open(posix_file_system(), path_, options(), WallTime{now()});
    MILLRACE_ASSERT(writer, "the log opens");
    MILLRACE_ASSERT(writer->next_offset() == end(), "all that was appended is there");
    MILLRACE_ASSERT(writer->recovered().corruptions.empty() && writer->recovered().torn_bytes == 0, "and nothing else");
    writer_.emplace(std::move(*writer));
  }
  // The most that a crash leaves to walk: a newest segment that is full, of which nothing says that it was synced.
  void grow_to(std::uint64_t bytes) {
    if (writer_->publishers().empty()) {
      MILLRACE_ASSERT(writer_->append_publisher({publisher, "bench", Epoch(1), {}, Sequence(0)}, WallTime{now()}), "");
    }
    while (this->bytes() < bytes) append();
    const std::size_t segments = this->segments();
    while (this->segments() == segments) append();
    for (std::uint64_t left = limits::segment_size / batch_bytes - 3; left > 0; --left) append();
    MILLRACE_ASSERT(this->segments() == segments + 1, "the newest segment has room for that");
  }
  void crash() { writer_.reset(); }
  [[nodiscard]] std::int64_t time_of(Offset offset) const {
    return static_cast<std::int64_t>(offset.value() / batch_events + 1) * batch_ns;
  }
  [[nodiscard]] std::size_t segments() const { return list_segment_files(posix_file_system(), path_)->size(); }

 private:
  static WriterOptions options() {
    WriterOptions options;
    options.policy = SyncPolicy::none;
    return options;
  }
  [[nodiscard]] std::int64_t now() const { return static_cast<std::int64_t>(batches_ + 1) * batch_ns; }
  void append() {
    const Sequence first = writer_->publishers().at(0).last_sequence.next();
    MILLRACE_ASSERT(writer_->append(publisher, Epoch(1), first, batch_events, frames_, WallTime{now()}), "it appends");
    ++batches_;
  }

  Folder folder_;
  std::string path_ = folder_.path();
  std::optional<Writer> writer_;
  std::vector<std::byte> frames_ = [] {
    std::vector<std::byte> bytes(batch_events * event_bytes);
    for (std::size_t i = 0; i < batch_events; ++i) {
      FrameHeader header{};
      header.length = event_bytes;
      header.key = i;
      std::memcpy(bytes.data() + i * event_bytes, &header, sizeof header);
    }
    return bytes;
  }();
  std::uint64_t batches_ = 0;
};

struct Row {
  Figure open, seek, seek_time, end, recovery;
};

// Each by a reader that was just opened: one that knows the headers already has less to do.
void read(const Log& log, int turns, bool cold, Row& row) {
  std::mt19937_64 random(static_cast<std::uint64_t>(turns));
  const auto measure = [&](Figure& figure, const auto& what, const auto& check) {
    if (cold) make_cold(log.folder());
    Reader reader = Reader::open(posix_file_system(), log.folder(), ReadMode::mapped).value();
    figure.measure([&] { what(reader); });
    check(reader);
  };
  for (int turn = 0; turn < turns; ++turn) {
    if (cold) make_cold(log.folder());
    row.open.measure([&] {
      const auto reader = Reader::open(posix_file_system(), log.folder(), ReadMode::mapped);
      MILLRACE_ASSERT(reader && reader->first_offset() == Offset(0), "the log is read from its begin");
    });
    const Offset offset(random() % log.end().value());
    const auto check = [&](Reader& reader) {
      const auto batch = reader.next();
      MILLRACE_ASSERT(batch && *batch && (*batch)->first_offset <= offset && (*batch)->next_offset() > offset,
                      "a seek leads to the batch that was asked for");
    };
    measure(
        row.seek, [&](Reader& reader) { MILLRACE_ASSERT(reader.seek(offset), "there is such an offset"); }, check);
    measure(
        row.seek_time,
        [&](Reader& reader) { MILLRACE_ASSERT(reader.seek_time({log.time_of(offset)}), "there is such a time"); },
        check);
    measure(
        row.end, [&](Reader& reader) { MILLRACE_ASSERT(reader.end_offset() == log.end(), "the end is where it is"); },
        [](Reader&) {});
  }
}

int main(int argc, char** argv) {
  const double gib = argc > 1 ? std::atof(argv[1]) : 0.25;
  const int turns = argc > 2 ? std::atoi(argv[2]) : 20;
  if (gib <= 0 || turns <= 0) return std::fprintf(stderr, "usage: open_bench [GIB] [TURNS]\n"), 2;
  std::printf("median and most of %d; ms\n", turns);
  std::printf("%7s %9s %6s %7s | %15s | %15s | %15s | %15s | %9s\n", "GiB", "segments", "pages", "in mem", "open",
              "seek", "seek_time", "end_offset", "recovery");
  Log log;
  log.open();
  for (const double part : {1.0 / 16, 1.0 / 4, 1.0}) {
    if (part < 1 && gib * part * (1ull << 30) < limits::segment_size) continue;  // all of them are the same
    for (const bool cold : {false, true}) {
      log.grow_to(static_cast<std::uint64_t>(gib * part * (1ull << 30)));
      log.crash();
      Row row;
      const std::size_t segments = log.segments();
      if (!cold) make_warm(log.folder());
      read(log, turns, cold, row);
      if (cold) make_cold(log.folder());
      const double in_memory = resident(log.folder());
      row.recovery.measure([&] { log.open(); });
      std::printf("%7.2f %9zu %6s %6.1f%% |", static_cast<double>(log.bytes()) / (1ull << 30), segments,
                  cold ? "cold" : "warm", in_memory * 100);
      for (Figure* figure : {&row.open, &row.seek, &row.seek_time, &row.end}) {
        std::printf(" %7.3f %7.3f |", figure->median(), figure->most());
      }
      std::printf(" %9.1f\n", row.recovery.most());
      std::fflush(stdout);
      if (cold) MILLRACE_ASSERT(in_memory < 0.01, "what is said to be cold is cold");
    }
  }
  return 0;
}

}  // namespace
}  // namespace millrace::wal

int main(int argc, char** argv) {
  return millrace::wal::main(argc, argv);
}
