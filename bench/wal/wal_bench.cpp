// What the log costs: appending batches to prepared segments, and reading them back mapped. Every case checks that it
// did what it claims. MILLRACE_BENCH_FOLDER chooses the disk; default is the temporary folder.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "bench/folder.hpp"
#include "bus/base/ids.hpp"
#include "wal/last_values.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"
#include "wal/writer.hpp"

namespace millrace::wal {
namespace {

using bench::Folder;

constexpr PublisherId publisher(1);

// `count` frames of `size` bytes, header included.
std::vector<std::byte> make_frames(std::size_t count, std::size_t size) {
  std::vector<std::byte> bytes(count * size);
  for (std::size_t i = 0; i < count; ++i) {
    FrameHeader header{};
    header.length = static_cast<std::uint32_t>(size);
    header.key = i;
    std::memcpy(bytes.data() + i * size, &header, sizeof header);
  }
  return bytes;
}
// Sequences are the publisher's business, and cost it nothing here.
Sequence next_of(const Writer& writer) {
  return writer.publishers().at(0).last_sequence.next();
}

Result<Writer> begin(const std::string& folder) {
  auto writer = Writer::open(posix_file_system(), folder, {}, system_clock().wall());
  if (writer) MILLRACE_TRY(writer->append_publisher({publisher, "bench", Epoch(1), {}, Sequence(0)}, WallTime{1}));
  return writer;
}
bool prepare(Writer& writer) {
  for (;;) {
    const auto more = writer.prepare_next_segment();
    if (!more) return false;
    if (!*more) return true;
  }
}

// One segment's worth into blocks that were written before; rolling and preparing are not timed.
void append(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const auto size = static_cast<std::size_t>(state.range(1));
  const Folder folder;
  auto writer = begin(folder.path());
  if (!writer) return state.SkipWithError(writer.error().message.c_str());
  const auto frames = make_frames(count, size);
  const std::uint64_t batch = frames.size() + sizeof(BatchHeader);
  std::uint64_t room = 0;
  for (auto _ : state) {
    if (room < 2 * batch) {
      state.PauseTiming();
      if (!writer->sync() || !writer->retain(2 * limits::segment_size) || !prepare(*writer)) {
        return state.SkipWithError("cannot prepare a segment");
      }
      // Fills what is left of this segment, until an append rolls into the prepared one.
      for (std::uint64_t unsynced = 0;;) {
        (void)writer->append(publisher, Epoch(1), next_of(*writer), count, frames, WallTime{1});
        if (writer->failure() || writer->unsynced_bytes() <= unsynced) break;
        unsynced = writer->unsynced_bytes();
      }
      room = limits::segment_size - header_alignment - batch;
      state.ResumeTiming();
    }
    const auto done = writer->append(publisher, Epoch(1), next_of(*writer), count, frames, WallTime{1});
    if (!done) return state.SkipWithError(done.error().message.c_str());
    room -= batch;
  }
  const auto events = static_cast<std::uint64_t>(state.iterations()) * count;
  if (writer->next_offset().value() < events) return state.SkipWithError("not all was appended");
  state.SetItemsProcessed(static_cast<std::int64_t>(events));
  state.SetBytesProcessed(static_cast<std::int64_t>(events * size));
}
BENCHMARK(append)->ArgNames({"frames", "bytes"})->Args({64, 224})->Args({292, 224});

// All of a log, from the page cache; with the events of each batch or without.
void read(benchmark::State& state) {
  constexpr std::uint32_t count = 64;
  const auto size = static_cast<std::size_t>(state.range(0));
  const bool events = state.range(1) != 0;
  const auto batches = static_cast<std::uint64_t>(state.range(2));
  const Folder folder;
  auto writer = begin(folder.path());
  if (!writer) return state.SkipWithError(writer.error().message.c_str());
  const auto frames = make_frames(count, size);
  for (std::uint64_t i = 0; i < batches; ++i) {
    const auto done = writer->append(publisher, Epoch(1), next_of(*writer), count, frames, WallTime{1});
    if (!done) return state.SkipWithError(done.error().message.c_str());
  }
  auto reader = Reader::open(posix_file_system(), folder.path(), ReadMode::mapped);
  if (!reader) return state.SkipWithError(reader.error().message.c_str());
  const std::uint64_t total = batches * count;
  for (auto _ : state) {
    std::uint64_t seen = 0;
    std::uint64_t keys = 0;
    if (!reader->seek(Offset(0))) return state.SkipWithError("cannot seek");
    while (reader->position() < Offset(total)) {
      const auto batch = reader->next(Offset(total));
      if (!batch || !*batch) return state.SkipWithError("the log ends too early");
      if (!events) {
        seen += (*batch)->count;
        continue;
      }
      EventCursor cursor(**batch);
      while (const auto event = cursor.next()) {
        ++seen;
        keys += event->frame.key().value();
      }
    }
    if (seen != total || (events && keys != batches * count * (count - 1) / 2)) {
      return state.SkipWithError("an event is missing");
    }
  }
  const auto items = static_cast<std::int64_t>(total) * state.iterations();
  state.SetItemsProcessed(items);
  state.SetBytesProcessed(items * static_cast<std::int64_t>(size));
}
BENCHMARK(read)
    ->ArgNames({"bytes", "walk", "batches"})
    ->Args({168, 0, 20'000})
    ->Args({168, 1, 20'000})
    ->Args({168, 1, 100})
    ->Unit(benchmark::kMillisecond);

// Nothing new: what a follower's poll costs.
void poll_the_tail(benchmark::State& state) {
  const Folder folder;
  auto writer = begin(folder.path());
  if (!writer) return state.SkipWithError(writer.error().message.c_str());
  const ReadMode mode = state.range(0) != 0 ? ReadMode::mapped : ReadMode::pread;
  auto reader = Reader::open(posix_file_system(), folder.path(), mode);
  // The grant, then the first tail, behind which a reader looks at all of the segment.
  if (!reader || !reader->next() || !reader->next()) return state.SkipWithError("cannot read the log");
  for (auto _ : state) {
    const auto batch = reader->next();
    if (!batch || *batch) return state.SkipWithError("there was something at the tail");
  }
}
BENCHMARK(poll_the_tail)->ArgName("mapped")->Arg(0)->Arg(1);

// A snapshot of a log of so many segments of 1 MiB, each with an event of every key; `noted`: with their keys files.
void snapshot(benchmark::State& state) {
  const auto segments = static_cast<std::size_t>(state.range(0));
  const auto keys = static_cast<std::uint64_t>(state.range(1));
  const Folder folder;
  WriterOptions options;
  options.segment_size = 1 << 20;
  if (state.range(2) != 0) {
    const auto key_of_frame = [](const FrameView& frame, std::string&) {
      return std::string_view(reinterpret_cast<const char*>(frame.payload().data()), 8);
    };
    options.keys = std::make_shared<const KeyDefinition>(KeyDefinition{1, key_of_frame});
  }
  auto writer = Writer::open(posix_file_system(), folder.path(), options, system_clock().wall());
  if (!writer || !writer->append_publisher({publisher, "bench", Epoch(1), {}, Sequence(0)}, WallTime{1})) {
    return state.SkipWithError("the log does not open");
  }
  constexpr std::size_t size = 176;
  const auto frames = make_frames(100, size);
  std::vector<std::byte> keyed = frames;
  std::uint64_t key = 0;
  const std::uint64_t events = segments * (options.segment_size / size);
  for (std::uint64_t written = 0; written < events; written += 100) {
    for (std::size_t i = 0; i < 100; ++i, ++key) {
      const std::uint64_t name = key % keys;
      std::memcpy(keyed.data() + i * size + frame_header_size, &name, sizeof name);
    }
    if (!writer->append(publisher, Epoch(1), next_of(*writer), 100, keyed, WallTime{1})) {
      return state.SkipWithError("append failed");
    }
  }
  if (!writer->sync()) return state.SkipWithError("sync failed");
  while (auto care = writer->take_care(WallTime{std::numeric_limits<std::int64_t>::min()}, true)) {
    if (!writer->complete_care(*care, care->run())) return state.SkipWithError("care failed");
  }
  const KeyDefinition definition =
      options.keys ? *options.keys
                   : KeyDefinition{2, [](const FrameView& frame, std::string&) {
                                     return std::string_view(reinterpret_cast<const char*>(frame.payload().data()), 8);
                                   }};
  for (auto _ : state) {
    const auto values = last_values(posix_file_system(), folder.path(), writer->next_offset(), definition);
    if (!values || values->size() != keys) return state.SkipWithError("a value is missing");
  }
  state.counters["values/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(keys),
                                                  benchmark::Counter::kIsRate);
}
BENCHMARK(snapshot)
    ->ArgNames({"segments", "keys", "noted"})
    ->Args({16, 1000, 1})
    ->Args({160, 1000, 1})
    ->Args({160, 5000, 1})
    ->Args({160, 1000, 0})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace::wal

BENCHMARK_MAIN();
