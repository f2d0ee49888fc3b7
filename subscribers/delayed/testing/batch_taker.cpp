// A durable consumer for tests to kill: takes numbered trades in batches, appends "FIRST END" of each to a file, and
// acknowledges it.
//   batch_taker SOCKET CONSUMER FILE
// Prints "ready CHECKPOINT" once it stands. Exit status 1 if an event is not the one its number says.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "bus/bus.hpp"
#include "subscribers/delayed/batcher.hpp"

int main(int argc, char** argv) {
  using namespace millrace;
  using namespace std::chrono_literals;
  if (argc != 4) return std::fprintf(stderr, "usage: batch_taker SOCKET CONSUMER FILE\n"), 2;
  auto bus = Bus::connect({.name = "batch-taker", .socket = argv[1]});
  if (!bus) return std::fprintf(stderr, "%s\n", bus.error().message.c_str()), 1;
  auto subscriber = (*bus)->subscribe(
      "trade_events", {.level = Level::synced, .start = StartEarliest{}, .consumer = argv[2], .take_over = true});
  if (!subscriber) return std::fprintf(stderr, "%s\n", subscriber.error().message.c_str()), 1;
  const int file = ::open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return std::perror(argv[3]), 1;
  delayed::Batcher batcher(std::move(*subscriber), "trade_events", {.age = 2ms, .events = 100});
  std::printf("ready %lu\n", batcher.follower().position().offset.value());
  std::fflush(stdout);
  while (!batcher.error()) {
    const auto now = system_clock().monotonic();
    const delayed::Batch* const batch = batcher.poll(now);
    if (batch == nullptr) {
      (void)batcher.wait(batcher.due() ? *batcher.due() - now : 100ms);
      continue;
    }
    for (const Event& event : batch->events) {
      const auto& trade = *flatbuffers::GetRoot<schemas::TradeEvent>(event.payload().data());
      if (trade.buy_order_id() == event.offset->value() + 1) continue;  // one publisher, from the first
      return std::fprintf(stderr, "offset %lu has number %lu\n", event.offset->value(), trade.buy_order_id()), 1;
    }
    const std::string line = std::to_string(batch->first.value()) + " " + std::to_string(batch->end.value()) + "\n";
    if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return std::perror("write"), 1;
    if (const Status acked = batcher.ack(); !acked)
      return std::fprintf(stderr, "%s\n", acked.error().message.c_str()), 1;
  }
  std::fprintf(stderr, "%s\n", batcher.error()->message.c_str());
  return 1;
}
