// What an acknowledgement costs: one publisher that awaits each message, beside a bare pwrite and fdatasync; and how
// many messages a second are synced when it does not. bench/acks/run starts the core.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/histogram.hpp"
#include "bus/base/agent.hpp"
#include "bus/bus.hpp"

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;

std::int64_t now() {
  return system_clock().monotonic().ns;
}

// Blocks written before, as a log's are: 4 KiB each, one behind the other.
class BareFile {
 public:
  static constexpr std::size_t block = 4096;
  static constexpr std::size_t blocks = 4096;

  explicit BareFile(const std::string& path)
      : fd_(::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600)), bytes_(block * blocks) {
    MILLRACE_ASSERT(fd_ && ::pwrite(fd_.get(), bytes_.data(), bytes_.size(), 0) == static_cast<ssize_t>(bytes_.size()),
                    "the file is written");
    MILLRACE_ASSERT(::fsync(fd_.get()) == 0, "and synced");
  }
  std::int64_t write() {
    const std::int64_t begin = now();
    const off_t at = static_cast<off_t>(next_++ % blocks * block);
    MILLRACE_ASSERT(::pwrite(fd_.get(), bytes_.data(), block, at) == static_cast<ssize_t>(block), "a block is written");
    MILLRACE_ASSERT(::fdatasync(fd_.get()) == 0, "and synced");
    return now() - begin;
  }

 private:
  UniqueFd fd_;
  std::vector<std::byte> bytes_;
  std::uint64_t next_ = 0;
};

struct Source {
  std::unique_ptr<Bus> bus;
  std::vector<std::byte> payload;  // a Message
  Publisher publisher;

  static Source connect(const std::string& socket) {
    auto bus = Bus::connect({.name = "bench", .socket = socket});
    MILLRACE_ASSERT(bus, "the core answers");
    auto publisher = (*bus)->publisher("messages", "bench");
    MILLRACE_ASSERT(publisher, "the publisher attaches");
    auto payload =
        (*bus)
            ->topic("messages")
            ->type->from_json(
                R"({"number":"1","a":"2","b":"3","c":"4","d":"5","e":"6","f":"7","g":"8","h":"9","i":"10","j":"11"})");
    MILLRACE_ASSERT(payload, "a message is built");
    return {std::move(*bus), std::move(*payload), std::move(*publisher)};
  }
  Sequence publish(IdleStrategy& idle) {
    for (;;) {
      const Published published = publisher.publish(payload);
      if (published) return published.sequence;
      MILLRACE_ASSERT(published.status == PublishStatus::back_pressured, "nothing else stops it");
      idle.idle(0);
    }
  }
};

void print(const char* what, const Histogram& h) {
  std::printf("%-44s p50 %8lu ns  p90 %8lu  p99 %9lu  max %10lu\n", what, h.percentile(0.5), h.percentile(0.9),
              h.percentile(0.99), h.max());
}

// Turns of both, so that they meet the same disk.
void await_each(Source& source, const std::string& folder, int turns) {
  BareFile bare(folder + "/bare");
  Histogram bare_times, await_times;
  BackOffIdle idle;
  for (int turn = 0; turn < turns; ++turn) {
    for (int i = 0; i < 50; ++i) bare_times.add(bare.write());
    for (int i = 0; i < 50; ++i) {
      const std::int64_t begin = now();
      const Sequence sequence = source.publish(idle);
      MILLRACE_ASSERT(source.publisher.await(sequence, Ack::synced(), {60s, 1}), "it is acknowledged");
      await_times.add(now() - begin);
    }
  }
  print("bare: pwrite of 4 KiB and fdatasync", bare_times);
  print("publish and await synced, one by one", await_times);
  std::printf("ratio of the medians %.2f\n",
              static_cast<double>(await_times.percentile(0.5)) / static_cast<double>(bare_times.percentile(0.5)));
}

void pipeline(Source& source, std::uint64_t count) {
  BackOffIdle idle;
  // Its outcome is asked for now: retention may have deleted it by the end.
  const Sequence before = source.publish(idle);
  MILLRACE_ASSERT(source.publisher.await(before, Ack::synced(), {60s, 1}), "it is acknowledged");
  const auto first = source.publisher.outcome(source.publisher.position_of(before));
  const std::int64_t begin = now();
  Sequence last;
  for (std::uint64_t i = 0; i < count; ++i) last = source.publish(idle);
  const std::int64_t published = now();
  MILLRACE_ASSERT(source.publisher.await(last, Ack::synced(), {60s, 1}), "all are acknowledged");
  const std::int64_t end = now();
  const auto outcome = source.publisher.outcome(source.publisher.position_of(last));
  MILLRACE_ASSERT(first && outcome && outcome->fate == Fate::synced && *outcome->offset - *first->offset == count,
                  "all of them are in the log");
  std::printf("pipelined: %lu messages of %zu bytes, %.2f M synced msg/s (the last %.1f ms after it was published)\n",
              count, source.payload.size(), static_cast<double>(count) * 1e3 / static_cast<double>(end - begin),
              static_cast<double>(end - published) / 1e6);
}

int main(int argc, char** argv) {
  CLI::App app{"what acknowledgements cost"};
  std::string what, socket, folder = ".";
  int turns = 20;
  std::uint64_t count = 2'000'000;
  app.add_option("what", what, "await or pipeline")->required()->check(CLI::IsMember({"await", "pipeline"}));
  app.add_option("--socket", socket, "millraced's control socket")->required();
  app.add_option("--folder", folder, "on the log's disk, for the bare writes");
  app.add_option("--turns", turns, "of 50 bare writes and 50 messages each")->capture_default_str();
  app.add_option("--count", count, "messages of the pipeline")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Source source = Source::connect(socket);
  if (what == "await") {
    await_each(source, folder, turns);
  } else {
    pipeline(source, count);
  }
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main(argc, argv);
}
