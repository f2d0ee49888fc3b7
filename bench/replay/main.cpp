// How fast a log is replayed from the page cache on one core, through the public API, beside what the machine needs to
// read the same bytes at all. All ways in turn, several times over: a mood of the machine shows in all of them.
//
// Each way checks that it saw every event it should have, by count and by the sum of their sequences.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/folder.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/fd.hpp"
#include "schemas/registry.hpp"
#include "subscribers/historical/replay.hpp"
#include "wal/format.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"
#include "wal/writer.hpp"

namespace millrace::historical {
namespace {

using bench::Folder;

constexpr std::size_t frame_bytes = 128;
constexpr std::uint32_t instruments = 16;
constexpr EventTypeId tick_id{1000};
// 88 bytes as a finished FlatBuffer: with the frame's header 128.
constexpr const char* tick_schema = R"(
attribute "event_key"; attribute "text";
struct Name { bytes:[ubyte:16] (text); }
table Tick { instrument:Name (event_key); price:long; quantity:ulong; order:ulong; seller:ulong; time:long; }
root_type Tick;
file_identifier "TICK";
)";

struct Options {
  std::uint64_t events = 6'000'000;
  std::uint32_t batch = 256;
  int turns = 5;
};

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "bench_replay: %s\n", result.error().message.c_str());
  std::exit(1);
}
void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "bench_replay: %s\n", status.error().message.c_str());
  std::exit(1);
}
void check(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "bench_replay: %s\n", what);
  std::exit(1);
}

std::string instrument(std::uint64_t number) {
  return "I" + std::to_string(number % instruments);
}

// `topic` of `topics`: their batches' record times take turns.
void write_log(const std::string& folder, const schemas::EventType& type, std::uint64_t events, std::uint32_t batch,
               std::uint64_t topic, std::uint64_t topics) {
  auto writer = must(wal::Writer::open(wal::posix_file_system(), folder, {}, WallTime{1}));
  must(writer.append_publisher({PublisherId(1), "bench", Epoch(1), {}, Sequence(0)}, WallTime{1}));
  std::vector<std::vector<std::byte>> payloads;
  for (std::uint32_t i = 0; i < instruments; ++i) {
    payloads.push_back(must(type.from_json("{\"instrument\":\"" + instrument(i) + "\",\"price\":1,\"quantity\":2}")));
  }
  std::vector<std::byte> frames;
  for (std::uint64_t done = 0; done < events;) {
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(batch, events - done));
    frames.assign(count * frame_bytes, std::byte{0});
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto& payload = payloads[(done + i) % instruments];
      check(frame_size(payload.size()) == frame_bytes, "a frame does not have 128 bytes");
      FrameHeader header{};
      header.length = static_cast<std::uint32_t>(frame_header_size + payload.size());
      header.event_type = static_cast<std::uint16_t>(type.id());
      header.sequence = done + i + 1;
      header.key = key_of(instrument(done + i)).value();
      std::memcpy(frames.data() + i * frame_bytes, &header, sizeof header);
      std::memcpy(frames.data() + i * frame_bytes + sizeof header, payload.data(), payload.size());
    }
    const auto time = static_cast<std::int64_t>((done / batch * topics + topic) * 1000);
    must(writer.append(PublisherId(1), Epoch(1), Sequence(done + 1), count, frames, WallTime{2 + time}));
    done += count;
  }
  must(writer.sync());
}

struct Way {
  std::string name;
  std::function<std::uint64_t()> run;  // the number of events it passed
  std::uint64_t bytes = 0;             // that were read
  std::vector<double> seconds{};
};

struct Seen {
  std::uint64_t events = 0;
  std::uint64_t sequences = 0;
};

// The bytes of all segments, in a mapping of its own each time, as the reader maps them.
template <class Use>
std::uint64_t for_each_segment(const std::string& folder, Use use) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".wal") continue;
    const auto file = must(wal::posix_file_system().open(entry.path().string(), wal::OpenMode::read));
    const auto size = must(file->size());
    const auto mapping = must(Mapping::map(file->native_fd(), 0, size, Access::read_only, "segment"));
    use(mapping.bytes());
    bytes += size;
  }
  return bytes;
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
  std::uint64_t sums[4] = {};
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes.data());
  const std::size_t count = bytes.size() / sizeof(std::uint64_t);
  for (std::size_t i = 0; i + 4 <= count; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] ^= words[i + lane];
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    const std::string schema = folder_.at("tick.fbs");
    std::ofstream(schema) << tick_schema;
    type_ = must(registry_.add_user_schema("ticks", tick_id, schema, "", ""));
    write_log(folder_.at("one"), *type_, options.events, options.batch, 0, 1);
    for (std::uint64_t i = 0; i < 3; ++i) {
      write_log(folder_.at("of3-" + std::to_string(i)), *type_, options.events / 3, options.batch, i, 3);
    }
  }

  int run() {
    std::vector<Way> ways = make_ways();
    for (int turn = 0; turn < options_.turns; ++turn) {
      for (Way& way : ways) {
        const auto begin = std::chrono::steady_clock::now();
        way.bytes = way.run();
        way.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      }
    }
    std::printf("%llu events of %zu bytes, batches of %u, %d turns; median and best\n\n",
                static_cast<unsigned long long>(options_.events), frame_bytes, options_.batch, options_.turns);
    std::printf("%-44s %12s %12s %8s %10s\n", "way", "M events/s", "best", "GB/s", "of memory");
    double memory = 0;
    for (Way& way : ways) {
      std::sort(way.seconds.begin(), way.seconds.end());
      const double median = way.seconds[way.seconds.size() / 2];
      const auto events = static_cast<double>(options_.events);
      const double speed = static_cast<double>(way.bytes) / median / 1e9;
      if (memory == 0) memory = speed;
      std::printf("%-44s %12.1f %12.1f %8.2f %9.0f%%\n", way.name.c_str(), events / median / 1e6,
                  events / way.seconds.front() / 1e6, speed, speed / memory * 100);
    }
    std::printf("\nsums %llx\n", static_cast<unsigned long long>(sums_));
    return 0;
  }

 private:
  [[nodiscard]] TopicLog log(const std::string& name, wal::ReadMode mode) const {
    return {.name = name,
            .folder = folder_.at(name),
            .types = [this](EventTypeId id, Offset) { return registry_.find(id); },
            .mode = mode};
  }

  std::uint64_t replay(const std::vector<std::string>& names, ReplayOptions options, wal::ReadMode mode,
                       const std::vector<std::string>& filters, std::uint64_t wanted) {
    std::vector<ReplayTopic> topics;
    for (const std::string& name : names) topics.push_back({.log = log(name, mode), .filters = filters});
    const auto replay = must(Replay::open(std::move(topics), std::move(options)));
    Seen seen;
    WallTime last;
    bool ordered = true;
    while (!replay->ended()) {
      const std::size_t passed = replay->poll(
          [&](const Event& event, std::size_t) {
            ++seen.events;
            seen.sequences += event.sequence().value();
            ordered &= event.record_time >= last;
            last = event.record_time;
          },
          4096);
      check(passed > 0 && !replay->error(), "the replay stands still");
    }
    check(ordered, "an event came before an earlier one");
    check(seen.events == wanted, "a replay did not hand over what it should");
    if (filters.empty()) {
      const std::uint64_t each = options_.events / names.size();
      check(seen.sequences == names.size() * (each * (each + 1) / 2), "a replay handed over other events");
    }
    sums_ ^= seen.sequences;
    return options_.events * frame_bytes;
  }

  std::vector<Way> make_ways() {
    using enum wal::ReadMode;
    const std::uint64_t all = options_.events;
    const std::uint64_t three = all / 3 * 3;
    const std::vector<std::string> merged{"of3-0", "of3-1", "of3-2"};
    const ReplayOptions plain{};
    ReplayOptions unverified;
    unverified.verify = false;
    const std::uint64_t of_one = (all + instruments - 1) / instruments;
    return {
        {"memory: xor of the mapped files",
         [this] { return for_each_segment(folder_.at("one"), [this](auto bytes) { sums_ ^= sum_of(bytes); }); }},
        {"checksum alone: XXH3 of the mapped files",
         [this] {
           return for_each_segment(folder_.at("one"), [this](auto bytes) { sums_ ^= wal::checksum_of(bytes); });
         }},
        {"log alone: checked batches, no events", [this] { return read_batches(); }},
        {"replay, mapped, verified", [=, this] { return replay({"one"}, plain, mapped, {}, all); }},
        {"replay, mapped, not verified", [=, this] { return replay({"one"}, unverified, mapped, {}, all); }},
        {"replay, pread, verified", [=, this] { return replay({"one"}, plain, pread, {}, all); }},
        {"replay, mapped, one instrument of 16",
         [=, this] { return replay({"one"}, plain, mapped, {"instrument=I0"}, of_one); }},
        {"replay, mapped, filter on a payload's field",
         [=, this] { return replay({"one"}, plain, mapped, {"price=1"}, all); }},
        {"replay, mapped, 3 topics merged", [=, this] { return replay(merged, plain, mapped, {}, three); }},
    };
  }

  std::uint64_t read_batches() {
    auto log = must(wal::Reader::open(wal::posix_file_system(), folder_.at("one"), wal::ReadMode::mapped));
    std::uint64_t events = 0;
    while (events < options_.events) {
      const auto batch = must(log.next(Offset(options_.events)));
      check(batch.has_value(), "the log ends too early");
      events += batch->count;
    }
    return events * frame_bytes;
  }

  Options options_;
  Folder folder_;
  schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType* type_ = nullptr;
  std::uint64_t sums_ = 0;
};

template <class T>
void read_number(const char* text, T& into) {
  const std::string_view view(text);
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), into);
  check(error == std::errc() && end == view.data() + view.size() && into > 0,
        "give EVENTS, BATCH and TURNS as numbers");
}

}  // namespace
}  // namespace millrace::historical

int main(int argc, char** argv) {
  millrace::historical::Options options;
  if (argc > 1) millrace::historical::read_number(argv[1], options.events);
  if (argc > 2) millrace::historical::read_number(argv[2], options.batch);
  if (argc > 3) millrace::historical::read_number(argv[3], options.turns);
  options.events = (options.events + 47) / 48 * 48;  // of three topics, of sixteen instruments
  return millrace::historical::Bench(options).run();
}
